/* Two lists of values that are taken, and the names of headers that are not. */
#include "session-service/event_content.h"

#include <strings.h>

enum { NAMES_MAX = 3 };

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct slice content_types[NAMES_MAX] = {NAME("application/json"), NAME("text/plain"),
                                                      NAME("application/octet-stream")};
static const struct slice content_encodings[NAMES_MAX] = {NAME("identity"), NAME("utf-8"),
                                                          NAME("utf8")};

/* The attributes of a CloudEvent whose data is the body: as its bindings to AMQP name them, and as
 * senders do that take the names of its binding to HTTP. */
static const struct slice attribute_prefixes[NAMES_MAX] = {NAME("cloudEvents:"),
                                                           NAME("cloudEvents_"), NAME("ce-")};

static bool is_white_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* A media type without its parameters. */
static struct slice without_parameters(struct slice value)
{
    const char *end = value.length == 0 ? NULL : memchr(value.data, ';', value.length);
    if (end != NULL) {
        value.length = (size_t)(end - value.data);
    }
    while (value.length > 0 && is_white_space(value.data[value.length - 1])) {
        value.length--;
    }
    while (value.length > 0 && is_white_space(value.data[0])) {
        value = (struct slice){value.data + 1, value.length - 1};
    }
    return value;
}

static bool begins_with(struct slice value, struct slice start)
{
    return value.length >= start.length && strncasecmp(value.data, start.data, start.length) == 0;
}

static bool is_listed(struct slice value, const struct slice list[NAMES_MAX])
{
    bool found = value.length == 0;
    for (size_t i = 0; !found && i < NAMES_MAX; i++) {
        found = value.length == list[i].length && begins_with(value, list[i]);
    }
    return found;
}

static bool is_attribute(struct slice name)
{
    bool found = false;
    for (size_t i = 0; !found && i < NAMES_MAX; i++) {
        found = begins_with(name, attribute_prefixes[i]);
    }
    return found;
}

bool event_content_is_json(const struct message *message, struct event_content_problem *ret_problem)
{
    if (!is_listed(without_parameters(message->content_type), content_types)) {
        *ret_problem = (struct event_content_problem){"the content type", message->content_type};
        return false;
    }
    if (!is_listed(message->content_encoding, content_encodings)) {
        *ret_problem =
            (struct event_content_problem){"the content encoding", message->content_encoding};
        return false;
    }
    for (size_t i = 0; i < message->header_count; i++) {
        if (is_attribute(message->headers[i].name)) {
            *ret_problem = (struct event_content_problem){"the header", message->headers[i].name};
            return false;
        }
    }
    return true;
}
