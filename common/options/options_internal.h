/* What the files of the options module share. */
#pragma once

#include "common/options/options.h"

enum { OPTION_SOURCE_BYTES = OPTION_VARIABLE_BYTES, OPTION_VALUE_BYTES = 32 };

/* Parses `value` and stores it in the settings in place of what is there. `source` says where the
 * value is from ("--queue"), for the error's text. */
MUST_CHECK enum outcome option_store(const struct option_row *row, void *settings,
                                     const char *value, const char *source,
                                     struct error *ret_error);

/* The same for a value from a place where some programs take quotes away: a pair around all of it
 * is taken away, and a single quote at an end is refused. */
MUST_CHECK enum outcome option_store_unquoted(const struct option_row *row, void *settings,
                                              const char *value, const char *source,
                                              struct error *ret_error);

/* Writes a number as a person would write that option's value: 5s, 64KiB. */
void option_number_text(enum option_type type, int64_t number, char ret_text[OPTION_VALUE_BYTES]);

/* Writes PREFIX_NAME. False where it does not fit. */
MUST_CHECK bool option_variable(const struct options_program *program, const char *name,
                                char ret_text[OPTION_SOURCE_BYTES]);

/* Finds a value in "a|b". */
MUST_CHECK bool option_find_choice(const char *choices, const char *value, int *ret_index);

/* Stores every value of the file, and notes in `given`, by the number of the row, which they are.
 */
MUST_CHECK enum outcome options_read_file(const struct options_program *program, const char *path,
                                          void *settings, bool *given, struct error *ret_error);

/* Stores what the profile asks for, where it was chosen, in place of defaults: of what is not
 * given.
 */
MUST_CHECK enum outcome options_apply_profile(const struct options_program *program,
                                              const bool *given, void *settings,
                                              struct error *ret_error);

/* Wipes and frees a text that may be a secret. NULL is fine. */
void option_free_text(char *text);
