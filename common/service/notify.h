/* Tells the service manager (systemd) how the service is. Every call does nothing where there is no
 * manager that listens. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether a manager listens. */
bool notify_is_wanted(void);

/* How soon after the last notify_alive() the manager gives the process up; 0: never. */
uint64_t notify_watchdog_ms(void);

void notify_ready(void);
void notify_reloading(void);
/* The manager waits `longest_ms` for the end, also where its own limit is lower. */
void notify_stopping(uint64_t longest_ms);
void notify_alive(void);
void notify_status(const char *text);
