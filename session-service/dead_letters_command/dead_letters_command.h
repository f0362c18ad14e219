/* `session-service dead-letters ...`: what an operator does with the dead letters. */
#pragma once

/* `argv[0]` is "dead-letters". Main thread only. Returns the exit code: 0 all was done, 1 it
 * failed, 2 the command line or the configuration is wrong, 3 not all was done (an id that is not
 * there, letters that were left, interrupted). */
int dead_letters_command(int argc, char **argv);
