/* See broker_refusal.h. */
#include "common/amqp/broker_refusal.h"

#include "common/base/utf8.h"

#include <stdio.h>

enum {
    NOT_ALLOWED = 530,
    EXCHANGE_DECLARE = 40 << 16 | 10,
    EXCHANGE_UNBIND = 40 << 16 | 40,
    QUEUE_DECLARE = 50 << 16 | 10,
    QUEUE_BIND = 50 << 16 | 20,
    BASIC_CONSUME = 60 << 16 | 20,
    BASIC_PUBLISH = 60 << 16 | 40,
    BASIC_GET = 60 << 16 | 70,
};

static struct slice text_of(const struct broker_refusal *refusal)
{
    return (struct slice){refusal->text, refusal->text_length};
}

/* What stands behind the first `mark`; `data` is NULL where it is not in the text. */
static struct slice behind(struct slice text, const char *mark)
{
    const char *found =
        text.data == NULL ? NULL : memmem(text.data, text.length, mark, strlen(mark));
    if (found == NULL) {
        return (struct slice){NULL, 0};
    }
    const char *begin = found + strlen(mark);
    return (struct slice){begin, text.length - (size_t)(begin - text.data)};
}

/* What stands before the first `mark`, or all of it. */
static struct slice before(struct slice text, const char *mark)
{
    struct slice rest = behind(text, mark);
    return rest.data == NULL
               ? text
               : (struct slice){text.data, (size_t)(rest.data - text.data) - strlen(mark)};
}

static bool begins_with(struct slice text, const char *beginning)
{
    size_t length = strlen(beginning);
    return text.length >= length && memcmp(text.data, beginning, length) == 0;
}

/* RabbitMQ names the right itself since 3.11; NULL: neither says. */
static const char *right_of(const struct broker_refusal *refusal, struct slice resource)
{
    struct slice text = text_of(refusal);
    if (behind(text, "configure access to ").data != NULL) {
        return "configure";
    }
    if (behind(text, "write access to ").data != NULL) {
        return "write to";
    }
    if (behind(text, "read access to ").data != NULL) {
        return "read from";
    }
    switch (refusal->method) {
    case EXCHANGE_DECLARE:
    case QUEUE_DECLARE:
        return "configure";
    case BASIC_PUBLISH:
    case EXCHANGE_UNBIND: /* of its destination; broker_exchange.c asks for that */
        return "write to";
    case BASIC_CONSUME:
    case BASIC_GET:
        return "read from";
    case QUEUE_BIND:
        return begins_with(resource, "queue ") ? "write to" : "read from";
    default:
        return NULL;
    }
}

bool broker_refusal_missing_right(const struct broker_refusal *refusal, struct error *ret_right)
{
    struct slice resource = behind(text_of(refusal), "access to ");
    const char *right = right_of(refusal, resource);
    if (refusal->code != REFUSED_ACCESS || resource.data == NULL || right == NULL) {
        return false;
    }
    struct slice user = before(behind(resource, " refused for user '"), "'");
    resource = before(resource, " refused for user '");
    error_set(ret_right, OUTCOME_INVALID, "%s%.*s%s lacks the right to %s %.*s (%d)",
              user.length > 0 ? "user '" : "the user", (int)user.length, user.data,
              user.length > 0 ? "'" : "", right, (int)resource.length, resource.data,
              refusal->code);
    return true;
}

enum outcome broker_refusal_error(const struct broker_refusal *refusal, const char *what,
                                  struct error *ret_error)
{
    struct error right;
    if (broker_refusal_missing_right(refusal, &right)) {
        return error_set(ret_error, OUTCOME_INVALID, "%s: %s", what, right.text);
    }
    bool wrong_request = refusal->code == REFUSED_PRECONDITION || refusal->code == REFUSED_ACCESS ||
                         refusal->code == NOT_ALLOWED;
    return error_set(ret_error, wrong_request ? OUTCOME_INVALID : OUTCOME_TRANSIENT,
                     "%s: the broker answered %d: %.*s", what, refusal->code,
                     (int)refusal->text_length, refusal->text);
}

void broker_refusal_set_text(struct broker_refusal *refusal, struct slice text)
{
    size_t length = text.length < sizeof(refusal->text) ? text.length : sizeof(refusal->text);
    refusal->text_length = utf8_whole_length((struct slice){text.data, length});
    memcpy(refusal->text, text.data, refusal->text_length);
}

bool broker_refusal_is_of_request(const struct broker_refusal *refusal)
{
    return refusal->code == REFUSED_ACCESS || refusal->code == REFUSED_NOT_FOUND ||
           refusal->code == REFUSED_PRECONDITION;
}

bool broker_refusal_is_missing(const struct broker_refusal *refusal)
{
    return refusal->code == REFUSED_NOT_FOUND && behind(text_of(refusal), " - no ").data != NULL;
}

/* "none", "the value '5' of type 'signedint'" or "'true'"; empty where it was cut off. */
static struct slice value_of(struct slice text)
{
    if (begins_with(text, "none")) {
        return (struct slice){text.data, strlen("none")};
    }
    struct slice quoted = behind(text, "'");
    if (quoted.data == NULL) {
        return (struct slice){"", 0};
    }
    struct slice typed = before(quoted, "' of type '");
    if (typed.length < quoted.length) {
        return typed;
    }
    return quoted.length > 0 && quoted.data[quoted.length - 1] == '\''
               ? (struct slice){quoted.data, quoted.length - 1}
               : before(quoted, "'");
}

/* A queue without the argument for its type is a classic one. */
static struct slice shown(struct slice value, const char *argument)
{
    bool is_type = strcmp(argument, "x-queue-type") == 0;
    return is_type && slice_equal(value, slice_of("none")) ? slice_of("classic") : value;
}

bool broker_refusal_difference(const struct broker_refusal *refusal,
                               char ret_argument[BROKER_ARGUMENT_BYTES],
                               struct error *ret_difference)
{
    static const char received_mark[] = ": received ";
    static const char current_mark[] = " but current is ";
    struct slice rest = behind(text_of(refusal), "inequivalent arg '");
    if (refusal->code != REFUSED_PRECONDITION || rest.data == NULL) {
        return false;
    }
    struct slice argument = before(rest, "'");
    (void)snprintf(ret_argument, BROKER_ARGUMENT_BYTES, "%.*s",
                   (int)utf8_cut_length(argument, BROKER_ARGUMENT_BYTES - 1), argument.data);
    rest = behind(rest, received_mark);
    struct slice there = value_of(behind(rest, current_mark));
    struct slice here = value_of(before(rest, current_mark));
    if (there.length == 0 || here.length == 0) {
        error_set(ret_difference, OUTCOME_INVALID, "%s is something else than was asked for",
                  ret_argument);
        return true;
    }
    there = shown(there, ret_argument);
    here = shown(here, ret_argument);
    error_set(ret_difference, OUTCOME_INVALID, "%s is %.*s, and not %.*s", ret_argument,
              (int)there.length, there.data, (int)here.length, here.data);
    return true;
}

/* False: it does not fit, and a part of it would be the name or the value of another argument. */
static bool copy_slice(char *ret_text, size_t size, struct slice text)
{
    if (text.length >= size) {
        return false;
    }
    (void)snprintf(ret_text, size, "%.*s", (int)text.length, text.data);
    return true;
}

bool broker_refusal_argument(const struct broker_refusal *refusal,
                             struct queue_argument *ret_argument)
{
    struct slice name = behind(text_of(refusal), "inequivalent arg '");
    struct slice value = behind(name, ": received none but current is the value '");
    struct slice type = behind(value, "' of type '");
    if (refusal->code != REFUSED_PRECONDITION || type.data == NULL ||
        behind(type, "'").data == NULL) {
        return false;
    }
    return copy_slice(ret_argument->name, sizeof(ret_argument->name), before(name, "'")) &&
           copy_slice(ret_argument->value, sizeof(ret_argument->value),
                      before(value, "' of type '")) &&
           copy_slice(ret_argument->type, sizeof(ret_argument->type), before(type, "'"));
}
