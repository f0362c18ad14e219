/* A file of options of any bytes: refused with one line that says where, or settings within their
 * limits. A secret's value (here: hunter2) is never part of what is said. */
#include "common/amqp/broker_hosts.h"
#include "common/http/http_server.h"
#include "tests/fuzz/fuzz_input.h"
#include "user-service/settings.h"

#include <sys/mman.h>
#include <unistd.h>

enum { PATH_BYTES = 64, FILE_BYTES_MAX = 1 << 20 };

static char path[PATH_BYTES];
static int descriptor = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    descriptor = memfd_create("options", MFD_CLOEXEC);
    must(descriptor >= 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    must(unsetenv("AMQP_URL") == 0);
    return 0;
}

static void judge_settings(const struct settings *settings)
{
    struct error error;
    struct broker_hosts hosts = {.count = 0};
    must(settings->common.queue != NULL && settings->common.amqp_url != NULL);
    must(settings->max_body_bytes >= 64 && settings->max_body_bytes <= 16 * 1024 * 1024);
    must(settings->confirm_timeout_ms >= 10 && settings->confirm_timeout_ms <= 600000);
    must(settings->max_in_flight >= 1 && settings->max_in_flight <= 65536);
    must(settings->common.queue_type <= BROKER_QUEUE_CLASSIC);
    must(settings->common.declare <= BROKER_DECLARE_NEVER);
    if (broker_hosts_parse(settings->common.amqp_url, &hosts, &error) == OUTCOME_OK) {
        must(hosts.count > 0 && hosts.count <= BROKER_URLS_MAX);
    } else {
        must(hosts.count == 0 && strstr(error.text, "hunter2") == NULL);
    }
    broker_hosts_done(&hosts);
    bool is_loopback = false;
    (void)!http_listen_is_loopback(settings->common.listen, &is_loopback, &error);
}

/* FILE:LINE: OPTION: what is wrong */
static bool is_of_secret(const char *text)
{
    size_t length = strlen(path);
    must(strncmp(text, path, length) == 0);
    length += strspn(text + length, ":0123456789");
    return strncmp(text + length, " amqp-url: ", strlen(" amqp-url: ")) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char name[] = "user-service";
    static char flag[] = "--config";
    char *argv[] = {name, flag, path, NULL};
    struct settings settings = {0};
    struct error error = {.text = ""};
    enum options_action action;
    if (size > FILE_BYTES_MAX) {
        return -1;
    }
    must(ftruncate(descriptor, 0) == 0);
    must(pwrite(descriptor, data, size, 0) == (ssize_t)size);
    enum outcome outcome =
        options_load(&settings_program, 3, argv, &settings, NULL, &action, &error);
    if (outcome == OUTCOME_OK) {
        must(action == OPTIONS_RUN);
        judge_settings(&settings);
    } else {
        must(outcome == OUTCOME_INVALID && error.text[0] != '\0');
        must(settings.common.queue == NULL && settings.common.amqp_url == NULL);
        must(settings.required_members == NULL && settings.state_dir == NULL);
        must(!is_of_secret(error.text) || strstr(error.text, "hunter2") == NULL);
    }
    options_done(&settings_program, &settings);
    return 0;
}
