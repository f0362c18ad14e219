/* The structured log: one event is one line, whatever bytes its fields hold.
 *
 * log_format_line() is pure. The rest writes to one descriptor that log_init() sets, from any
 * thread, and a line is never mixed with another. If the descriptor accepts nothing for
 * LOG_WRITE_WAIT_MS, or fails (disk full), the lines are lost and counted, and nothing else waits
 * or fails. */
#pragma once

#include "common/base/buffer.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum {
    LOG_WRITE_WAIT_MS = 1000,
    LOG_VALUE_BYTES_MAX =
        16384, /* of one field's value before escaping; the rest is cut and marked */
    LOG_BATCH_BYTES_MAX = 64 * 1024 * 1024,
};

enum log_field_type {
    LOG_FIELD_TEXT, /* any bytes */
    LOG_FIELD_INTEGER,
    LOG_FIELD_BOOLEAN,
    LOG_FIELD_JSON, /* valid JSON text: embedded as it is in the JSON format, so it stays a value.
                     * Over LOG_VALUE_BYTES_MAX it is an object instead, whose one member
                     * "cut" is the cut text. */
};

/* An entry of a table of events: common/log/log_events.h and those of the services. Nothing else is
 * logged, so that each event is documented.
 *
 * How to add an event: add one line to the list of its owner, which is
 *
 *     EVENT(event_queue_missing, WARNING, "queue.missing", "What happened.", "What to do.")
 *
 * Log it by log_at(&event_queue_missing, ...). The texts are the documentation: repeat them in
 * docs/monitoring.md. Of an event that asks for nothing to be done the last one is "". */
struct log_event {
    const char *name;
    enum log_level level;
};

/* Makes a definition of a line of the list. */
#define LOG_EVENT_DEFINE(event, event_level, event_name, meaning, action)                          \
    __attribute__((unused)) static const struct log_event event = {                                \
        .name = (event_name), .level = LOG_LEVEL_##event_level};

struct log_field {
    const char *name; /* a literal: [a-z_]+ */
    enum log_field_type type;
    union {
        struct slice text;
        int64_t integer;
        bool boolean;
    };
};

static inline struct log_field log_text(const char *name, struct slice value)
{
    return (struct log_field){.name = name, .type = LOG_FIELD_TEXT, .text = value};
}
static inline struct log_field log_string(const char *name, const char *value)
{
    return log_text(name, slice_of(value));
}
static inline struct log_field log_integer(const char *name, int64_t value)
{
    return (struct log_field){.name = name, .type = LOG_FIELD_INTEGER, .integer = value};
}
static inline struct log_field log_boolean(const char *name, bool value)
{
    return (struct log_field){.name = name, .type = LOG_FIELD_BOOLEAN, .boolean = value};
}
static inline struct log_field log_json(const char *name, struct slice value)
{
    return (struct log_field){.name = name, .type = LOG_FIELD_JSON, .text = value};
}

/* Appends one line with its newline. Text: `2026-01-31T12:00:00.123Z INFO  event name=value ...`,
 * values quoted where they hold anything but [A-Za-z0-9._:/@+-]. JSON: {"time":...,"level":...,
 * "service":...,"event":...,<fields>}. C0, DEL, C1, bidi controls, U+2028/9 and bytes that are not
 * UTF-8 are always escaped. `format` is not AUTO. Any thread. */
void log_format_line(struct buffer *line, enum log_format format, const char *service,
                     uint64_t wall_ms, const struct log_event *event,
                     const struct log_field *fields, size_t count);

/* Appends any bytes as text for a terminal. What could move the cursor, reorder or end the line is
 * escaped as in a log line; quotes and backslashes stay. Pure. */
void log_append_shown(struct buffer *text, struct slice value);

/* Returns the prefix by which the journal knows the level of a line; "" if the descriptor does not
 * lead to the journal. */
const char *log_priority(enum log_level level, int descriptor);

/* To be called once before the first thread. AUTO means text on a terminal and JSON otherwise.
 * `service` is borrowed for the life of the process. Before this call, lines are text on standard
 * error. */
void log_init(const char *service, enum log_format format, enum log_level level, int descriptor);

bool log_enabled(enum log_level level);

/* Formats and writes one line. */
void log_event(const struct log_event *event, const struct log_field *fields, size_t count);

/* Formats one line into `lines`, for a batch that log_write() writes with as few calls as can be.
 */
void log_append(struct buffer *lines, const struct log_event *event, const struct log_field *fields,
                size_t count);
void log_write(struct slice lines);

/* Counts the lines (or parts of batches) that could not be written since the start. */
uint64_t log_lost_writes(void);

/* log_at(&event_broker_connected, log_string("host", host)) */
#define log_at(event, ...)                                                                         \
    do {                                                                                           \
        const struct log_event *log_event_ = (event);                                              \
        if (log_enabled(log_event_->level)) {                                                      \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_event(log_event_, log_fields_, sizeof(log_fields_) / sizeof(log_fields_[0]));      \
        }                                                                                          \
    } while (0)
