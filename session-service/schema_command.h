/* `session-service schema --print` and `--upkeep`: the tables in PostgreSQL and what keeps the
 * partitions of the inbox, as SQL, for who has a database's administrator or owner run it. */
#pragma once

/* `argv[0]` is "schema". Main thread only. Returns the exit code. */
int schema_command(int argc, char **argv);
