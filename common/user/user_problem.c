/* A problem of a user: its place as a JSON pointer (RFC 6901), and its detail. */
#include "common/user/user_internal.h"

#include "common/base/utf8.h"

#include <stdio.h>

static const char cut_mark[] = "...";

enum { INDEX_BYTES = 24, PLACES_MAX = USER_DEPTH_MAX + 1 };

struct pointer {
    char *text;
    size_t size, length; /* bytes */
    bool cut;
};

/* A piece is whole or not there, so that neither a character nor an escape is split. Room for the
 * mark is kept. */
static void append_piece(struct pointer *pointer, const char *piece, size_t length)
{
    if (pointer->cut) {
        return;
    }
    if (length > pointer->size - sizeof(cut_mark) - pointer->length) {
        pointer->cut = true;
        piece = cut_mark;
        length = sizeof(cut_mark) - 1;
    }
    memcpy(pointer->text + pointer->length, piece, length);
    pointer->length += length;
}

static void append_name(struct pointer *pointer, struct slice name)
{
    size_t position = 0;
    while (position < name.length && !pointer->cut) {
        size_t start = position;
        uint32_t character = utf8_next(name, &position);
        if (character == '~') {
            append_piece(pointer, "~0", 2);
        } else if (character == '/') {
            append_piece(pointer, "~1", 2);
        } else if (utf8_is_control(character)) {
            append_piece(pointer, "?", 1);
        } else {
            append_piece(pointer, name.data + start, position - start);
        }
    }
}

/* In a log the names of the user's own members are shown, as in user_append_redacted(); what is
 * below them is data as much as a value is. */
static void write_pointer(const struct user_place *place, bool is_logged, char *text, size_t size)
{
    const struct user_place *places[PLACES_MAX];
    size_t count = 0;
    for (; place != NULL && count < PLACES_MAX; place = place->parent) {
        places[count++] = place;
    }
    struct pointer pointer = {.text = text, .size = size};
    size_t depth = 0;
    while (count > 0) {
        place = places[--count];
        append_piece(&pointer, "/", 1);
        depth++;
        if (place->name.data != NULL && is_logged &&
            (depth > 1 || !user_name_is_logged(place->name))) {
            append_piece(&pointer, "*", 1);
        } else if (place->name.data != NULL) {
            append_name(&pointer, place->name);
        } else {
            char index[INDEX_BYTES];
            int length = snprintf(index, sizeof(index), "%zu", place->index);
            append_piece(&pointer, index, (size_t)length);
        }
    }
    text[pointer.length] = '\0';
}

void user_problems_add(struct user_problems *problems, const struct user_place *place,
                       const char *detail_format, ...)
{
    if (problems->count == USER_PROBLEMS_MAX) {
        return;
    }
    struct user_problem *problem = &problems->items[problems->count++];
    write_pointer(place, false, problem->pointer, sizeof(problem->pointer));
    write_pointer(place, true, problem->logged_pointer, sizeof(problem->logged_pointer));
    va_list arguments;
    va_start(arguments, detail_format);
    (void)vsnprintf(problem->detail, sizeof(problem->detail), detail_format, arguments);
    va_end(arguments);
}
