/* Text for people, JSON (made by jansson) for programs. */
#include "session-service/dead_letters_command/dead_letter_print.h"

#include "session-service/dead_letter.h"

#include "common/base/utf8.h"
#include "common/log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TIME_BYTES = 40, SHOWN_GROWTH_MAX = 8, ENCODED_BYTES_MAX = 1024 * 1024 * 1024 };

static struct slice text_of(const struct message *message, const char *name)
{
    const struct message_header *header = message_find_header(message, name, MESSAGE_HEADER_TEXT);
    return header != NULL ? header->text : (struct slice){"", 0};
}

static int64_t integer_of(const struct message *message, const char *name)
{
    const struct message_header *header =
        message_find_header(message, name, MESSAGE_HEADER_INTEGER);
    return header != NULL ? header->integer : 0;
}

void dead_letter_view_init(struct dead_letter_view *ret_view, const struct message *message,
                           uint64_t position, const char *id)
{
    *ret_view = (struct dead_letter_view){
        .position = position,
        .id = id,
        .message = message,
        .reason = text_of(message, DEAD_LETTER_REASON),
        .detail = text_of(message, DEAD_LETTER_DETAIL),
        .first_at_ms = integer_of(message, DEAD_LETTER_FIRST_AT),
        .last_at_ms = integer_of(message, DEAD_LETTER_LAST_AT),
        .count = integer_of(message, DEAD_LETTER_COUNT),
    };
}

static void time_text(int64_t wall_ms, char ret_text[TIME_BYTES])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    if (wall_ms <= 0 || gmtime_r(&seconds, &parts) == NULL ||
        strftime(ret_text, TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        memcpy(ret_text, "-", 2);
    }
}

/* Prints `value` with nothing in it that a terminal would obey. */
static bool print_shown(struct slice value)
{
    struct buffer text;
    buffer_init(&text, SHOWN_GROWTH_MAX * value.length + 1);
    log_append_shown(&text, value);
    bool printed = !text.failed && fwrite(text.data == NULL ? "" : text.data, 1, text.length,
                                          stdout) == text.length;
    if (text.failed) {
        errno = ENOMEM;
    }
    buffer_done(&text);
    return printed;
}

bool dead_letter_print_heading(void)
{
    return printf("%-36s  %-21s  %-20s  %5s  %8s  %s\n", "ID", "REASON", "LAST", "TIMES", "BYTES",
                  "DETAIL") > 0;
}

static bool print_table_row(const struct dead_letter_view *view)
{
    char last[TIME_BYTES];
    time_text(view->last_at_ms, last);
    if (printf("%-36s  ", view->id) < 0 || !print_shown(view->reason)) {
        return false;
    }
    int filling = view->reason.length < 21 ? 21 - (int)view->reason.length : 0;
    return printf("%*s  %-20s  %5" PRId64 "  %8zu  ", filling, "", last, view->count,
                  view->message->body.length) > 0 &&
           print_shown(view->detail) && putchar('\n') != EOF;
}

/* Text that is not UTF-8 is given as base64, so that a program gets every byte. */
static void set_bytes(json_t *object, const char *name, const char *name_of_base64,
                      struct slice value)
{
    if (utf8_is_valid(value)) {
        json_object_set_new(object, name, json_stringn(value.data, value.length));
        return;
    }
    unsigned char *text =
        value.length > ENCODED_BYTES_MAX ? NULL : malloc(4 * ((value.length + 2) / 3) + 1);
    if (text != NULL) {
        (void)EVP_EncodeBlock(text, (const unsigned char *)value.data, (int)value.length);
        json_object_set_new(object, name_of_base64, json_string((const char *)text));
    }
    free(text);
}

static json_t *object_of(const struct dead_letter_view *view)
{
    json_t *object =
        json_pack("{s:I, s:s}", "position", (json_int_t)view->position, "id", view->id);
    if (object == NULL) {
        return NULL;
    }
    set_bytes(object, "message_id", "message_id_base64", view->message->message_id);
    set_bytes(object, "reason", "reason_base64", view->reason);
    set_bytes(object, "detail", "detail_base64", view->detail);
    json_object_set_new(object, "first_at_ms", json_integer(view->first_at_ms));
    json_object_set_new(object, "last_at_ms", json_integer(view->last_at_ms));
    json_object_set_new(object, "count", json_integer(view->count));
    json_object_set_new(object, "body_bytes", json_integer((json_int_t)view->message->body.length));
    return object;
}

/* Takes the object. */
static bool print_object(json_t *object)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text == NULL) {
        errno = ENOMEM;
        return false;
    }
    bool printed = puts(text) != EOF;
    free(text);
    return printed;
}

bool dead_letter_print_row(const struct dead_letter_view *view, bool json)
{
    return json ? print_object(object_of(view)) : print_table_row(view);
}

static bool print_field(const char *name, struct slice value)
{
    return printf("%s: ", name) > 0 && print_shown(value) && putchar('\n') != EOF;
}

static bool print_header(const struct message_header *header)
{
    bool named =
        fputs("header ", stdout) != EOF && print_shown(header->name) && fputs(": ", stdout) != EOF;
    bool valued =
        named && (header->type == MESSAGE_HEADER_INTEGER ? printf("%" PRId64, header->integer) > 0
                                                         : print_shown(header->text));
    return valued && putchar('\n') != EOF;
}

static bool print_text(const struct dead_letter_view *view)
{
    const struct message *message = view->message;
    char first[TIME_BYTES];
    char last[TIME_BYTES];
    time_text(view->first_at_ms, first);
    time_text(view->last_at_ms, last);
    if (!print_field("id", slice_of(view->id)) || !print_field("message-id", message->message_id) ||
        !print_field("type", message->type) || !print_field("app-id", message->app_id) ||
        !print_field("content-type", message->content_type) ||
        !print_field("content-encoding", message->content_encoding) ||
        printf("put-aside: %" PRId64 " times, first %s, last %s\n", view->count, first, last) < 0) {
        return false;
    }
    for (size_t i = 0; i < message->header_count; i++) {
        if (!print_header(&message->headers[i])) {
            return false;
        }
    }
    return printf("body (%zu bytes): ", message->body.length) > 0 && print_shown(message->body) &&
           putchar('\n') != EOF;
}

static json_t *headers_of(const struct message *message)
{
    json_t *headers = json_object();
    for (size_t i = 0; i < message->header_count; i++) {
        const struct message_header *header = &message->headers[i];
        /* A name is at most a short string; what is no text is not a name to look for. */
        char name[SHORT_STRING_BYTES_MAX + 1] = "";
        if (header->name.length < sizeof(name) && header->name.length > 0 &&
            utf8_is_valid(header->name)) {
            memcpy(name, header->name.data, header->name.length);
        }
        if (header->type == MESSAGE_HEADER_INTEGER) {
            json_object_set_new(headers, name, json_integer(header->integer));
        } else {
            char name_of_base64[sizeof(name) + sizeof("_base64")];
            (void)snprintf(name_of_base64, sizeof(name_of_base64), "%s_base64", name);
            set_bytes(headers, name, name_of_base64, header->text);
        }
    }
    return headers;
}

bool dead_letter_print_whole(const struct dead_letter_view *view, bool json)
{
    if (!json) {
        return print_text(view);
    }
    const struct message *message = view->message;
    json_t *object = object_of(view);
    if (object != NULL) {
        set_bytes(object, "type", "type_base64", message->type);
        set_bytes(object, "app_id", "app_id_base64", message->app_id);
        set_bytes(object, "content_type", "content_type_base64", message->content_type);
        set_bytes(object, "content_encoding", "content_encoding_base64", message->content_encoding);
        json_object_set_new(object, "headers", headers_of(message));
        set_bytes(object, "body", "body_base64", message->body);
    }
    return print_object(object);
}

bool dead_letter_print_done(const struct dead_letter_view *view, bool json, const char *done,
                            const char *why)
{
    if (!json) {
        return printf("%s: %s%s%s\n", view->id, done, why[0] == '\0' ? "" : ": ", why) > 0;
    }
    return print_object(json_pack("{s:s, s:s, s:s}", "id", view->id, "done", done, "why", why));
}
