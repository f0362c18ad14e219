/* `session-service migrate-store --from DIR --to URL`: an embedded store is copied into PostgreSQL,
 * for who goes on with --store postgresql://... */
#pragma once

/* `argv[0]` is "migrate-store". Main thread only. Returns the exit code: 0 all is there, 1 it could
 * not go on and can be run again, 2 something must be mended before that. */
int migrate_store_command(int argc, char **argv);
