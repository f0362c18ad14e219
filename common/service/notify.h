/* Reports the state of the service to the service manager (systemd). Every call does nothing if no
 * manager listens. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { NOTIFY_STATUS_BYTES = 1280 }; /* more than two errors */

/* Returns whether a manager listens. */
bool notify_is_wanted(void);

/* Returns how soon after the last notify_alive() the manager takes the process for one that hangs;
 * 0: never. */
uint64_t notify_watchdog_ms(void);

void notify_ready(void);
void notify_reloading(void);
/* Asks the manager to wait `longest_ms` for the end, even if its own limit is lower. */
void notify_stopping(uint64_t longest_ms);
void notify_alive(void);
/* A text is cut at NOTIFY_STATUS_BYTES. */
void notify_status(const char *text);
