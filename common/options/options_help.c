/* The help, made from the table. */
#include "common/options/options_internal.h"

#include <stdio.h>

static void print_facts(const struct options_program *program, const struct option_row *row)
{
    printf("      default %s", row->default_text == NULL ? "none" : row->default_text);
    switch (row->type) {
    case OPTION_INTEGER:
    case OPTION_DURATION:
    case OPTION_SIZE: {
        char minimum[OPTION_VALUE_BYTES];
        char maximum[OPTION_VALUE_BYTES];
        option_number_text(row->type, row->minimum, minimum);
        option_number_text(row->type, row->maximum, maximum);
        printf("; %s to %s", minimum, maximum);
        break;
    }
    case OPTION_CHOICE:
        printf("; one of %s", row->choices);
        break;
    case OPTION_TEXT:
    case OPTION_FLAG:
        break;
    }
    if (row->command_line_only) {
        printf("; only on the command line\n");
        return;
    }
    char variable[OPTION_SOURCE_BYTES];
    if (option_variable(program, row->name, variable)) {
        printf("; variable %s", variable);
    }
    if (row->environment != NULL) {
        printf(" or %s", row->environment);
    }
    printf("\n");
}

void options_print_help(const struct options_program *program)
{
    printf("%s: %s\n\nUsage: %s %s%s[OPTION]...\n\n", program->name, program->summary,
           program->name, program->operands == NULL ? "" : program->operands,
           program->operands == NULL ? "" : " ");
    if (program->explanation != NULL) {
        printf("%s\n", program->explanation);
    }
    printf("Options:\n");
    for (size_t i = 0; i < program->count; i++) {
        const struct option_row *row = &program->rows[i];
        if (row->file_only) {
            continue;
        }
        if (row->type == OPTION_FLAG) {
            printf("  --%s\n      %s\n", row->name, row->help);
        } else {
            printf("  --%s %s\n      %s\n", row->name, row->value_name, row->help);
            print_facts(program, row);
        }
    }
    printf("  --config FILE\n"
           "      a file of options, one \"name = value\" on a line\n"
           "  --check-config\n"
           "      read and check all options, say whether they are valid, and exit\n"
           "  --help\n"
           "      print this and exit\n"
           "  --version\n"
           "      print the version and exit\n"
           "\n"
           "The command line wins over the environment, that over the file, that over defaults.\n"
           "A variable that is set and empty counts as not set; blanks around its value do not\n"
           "count.\n"
           "In the file a line that begins with '#' or ';' is a comment, and so is what follows a\n"
           "';' after a space. A list may go on in the next line, behind a comma and indented;\n"
           "no other line begins with a space. Quotes around a value are taken away.\n");
}
