/* The messages of sd_notify(3); with http_listen.c (sockets) and log.c (priorities) the only code
 * that sees libsystemd. */
#include "common/service/notify.h"

#include "common/base/clock.h"
#include "common/log/log_events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* A manager that cannot be told is worth one line, not one for each message. */
static void send_state(const char *state)
{
    static bool is_logged;
    int status = sd_notify(0, state);
    if (status < 0 && !is_logged) {
        is_logged = true;
        log_at(&event_service_notify_failed, log_string("error", strerror(-status)));
    }
}

bool notify_is_wanted(void)
{
    return getenv("NOTIFY_SOCKET") != NULL;
}

uint64_t notify_watchdog_ms(void)
{
    uint64_t interval_us = 0;
    return sd_watchdog_enabled(0, &interval_us) > 0 ? interval_us / 1000 : 0;
}

void notify_ready(void)
{
    send_state("READY=1");
}

void notify_reloading(void)
{
    char state[64];
    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                   clock_monotonic_us());
    send_state(state);
}

void notify_stopping(uint64_t longest_ms)
{
    char state[64];
    (void)snprintf(state, sizeof(state), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64,
                   longest_ms * 1000);
    send_state(state);
}

void notify_alive(void)
{
    send_state("WATCHDOG=1");
}

void notify_status(const char *text)
{
    char state[NOTIFY_STATUS_BYTES + 16];
    (void)snprintf(state, sizeof(state), "STATUS=%s", text);
    for (char *c = state; *c != '\0'; c++) {
        if (*c == '\n') {
            *c = ' '; /* a new line would begin another assignment */
        }
    }
    send_state(state);
}
