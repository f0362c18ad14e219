/* Which options differ between two settings of one program. */
#include "common/options/options_internal.h"

#include <stdio.h>
#include <string.h>

static bool is_equal_text(const char *one, const char *other)
{
    return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

static bool is_equal(const struct option_row *row, const void *settings, const void *others)
{
    const void *one = (const char *)settings + row->offset;
    const void *other = (const char *)others + row->offset;
    switch (row->type) {
    case OPTION_TEXT:
        return is_equal_text(*(char *const *)one, *(char *const *)other);
    case OPTION_CHOICE:
        return memcmp(one, other, sizeof(unsigned)) == 0;
    case OPTION_FLAG:
        return memcmp(one, other, sizeof(bool)) == 0;
    case OPTION_INTEGER:
    case OPTION_DURATION:
    case OPTION_SIZE:
        break;
    }
    return memcmp(one, other, sizeof(int64_t)) == 0;
}

size_t options_list_differences(const struct options_program *program, const void *settings,
                                const void *others, char *ret_names, size_t size)
{
    size_t count = 0;
    size_t length = 0;
    ret_names[0] = '\0';
    for (size_t i = 0; i < program->count; i++) {
        const struct option_row *row = &program->rows[i];
        if (is_equal(row, settings, others)) {
            continue;
        }
        int added =
            snprintf(ret_names + length, size - length, "%s%s", count == 0 ? "" : ", ", row->name);
        length = added < 0 || (size_t)added >= size - length ? size - 1 : length + (size_t)added;
        count++;
    }
    return count;
}
