/* Finds variables that look like an option's and are none: what is mistyped would have no effect,
 * and nobody would be told. */
#include "common/options/options_internal.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { NAME_BYTES_MAX = 64 }; /* of what is compared: no option's name is as long */

/* Kubernetes describes each service of a name space to each container in variables. With a service
 * that is called as the program is, they begin as the program's own do. */
static const char *const links[] = {"*_PORT", "*_PORT_*", "*_SERVICE_HOST", "*_SERVICE_PORT"};

/* How many characters must be put in or left out to come from one to the other. To change one is
 * both: so a part of a name is nearer to it than to another name of its own length. */
static size_t distance(const char *left, const char *right)
{
    size_t row[NAME_BYTES_MAX + 1];
    size_t length = strnlen(right, NAME_BYTES_MAX);
    for (size_t j = 0; j <= length; j++) {
        row[j] = j;
    }
    for (size_t i = 0; i < NAME_BYTES_MAX && left[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t best = diagonal + (toupper((unsigned char)left[i]) == right[j] ? 0 : 2);
            diagonal = row[j + 1];
            best = diagonal + 1 < best ? diagonal + 1 : best;
            row[j + 1] = row[j] + 1 < best ? row[j] + 1 : best;
        }
    }
    return row[length];
}

static bool is_link(const char *name)
{
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        if (fnmatch(links[i], name, 0) == 0) {
            return true;
        }
    }
    return false;
}

/* Sets *ret_row to the row whose variable is nearest. True: it is that one. */
static bool find_nearest(const struct options_program *program, const char *name,
                         const struct option_row **ret_row)
{
    size_t nearest = SIZE_MAX;
    for (size_t i = 0; i < program->count; i++) {
        char variable[OPTION_SOURCE_BYTES];
        if (program->rows[i].command_line_only ||
            !option_variable(program, program->rows[i].name, variable)) {
            continue;
        }
        const size_t skipped = strlen(program->environment_prefix);
        size_t found = distance(name + skipped, variable + skipped);
        if (found < nearest) {
            nearest = found;
            *ret_row = &program->rows[i];
        }
        if (strcmp(name, variable) == 0) {
            return true;
        }
    }
    return false;
}

bool options_next_stray(const struct options_program *program, size_t *position,
                        struct options_stray *ret_stray)
{
    size_t length = strlen(program->environment_prefix);
    while (environ != NULL && environ[*position] != NULL) {
        const char *variable = environ[(*position)++];
        size_t name_length = strcspn(variable, "=");
        const struct option_row *row = NULL;
        *ret_stray = (struct options_stray){.name = ""};
        (void)snprintf(ret_stray->name, sizeof(ret_stray->name), "%.*s", (int)name_length,
                       variable);
        bool is_empty = variable[name_length] == '\0' || variable[name_length + 1] == '\0';
        if (name_length > length &&
            strncasecmp(variable, program->environment_prefix, length) == 0 &&
            variable[length] == '_' && !is_empty && !is_link(ret_stray->name) &&
            !find_nearest(program, ret_stray->name, &row) && row != NULL) {
            ret_stray->nearest = row->name;
            return option_variable(program, row->name, ret_stray->nearest_variable);
        }
    }
    return false;
}
