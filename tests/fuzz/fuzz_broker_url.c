/* A broker URL of any bytes: refused with one line that does not hold what hunter2 stands for, or
 * an address whose text without its secret is printable and means the same place. */
#include "common/amqp/broker_url.h"
#include "tests/fuzz/fuzz_input.h"

enum { PORT_MAX = 65535, HEARTBEAT_S_MAX = 600 };

static void judge_text(const struct broker_address *address)
{
    char text[BROKER_URL_TEXT_BYTES];
    struct broker_address again;
    broker_address_text(address, text);
    for (const char *c = text; *c != '\0'; c++) {
        must(*c > ' ' && *c <= '~');
    }
    /* Nothing was cut. */
    if (strlen(text) < sizeof(text) - sizeof("%XX")) {
        must(broker_address_parse(slice_of(text), &again, NULL) == OUTCOME_OK);
        must(strcmp(again.user, address->user) == 0 && strcmp(again.host, address->host) == 0);
        must(strcmp(again.vhost, address->vhost) == 0 && again.port == address->port);
        must(again.tls == address->tls && strcmp(again.password, "guest") == 0);
        broker_address_done(&again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice url = copy_exactly((struct slice){(const char *)data, size});
    struct broker_address address;
    struct error error = {.text = ""};
    if (broker_address_parse(url, &address, &error) == OUTCOME_OK) {
        must(address.port >= 1 && address.port <= PORT_MAX && address.host[0] != '\0');
        must(address.heartbeat_s >= 0 && address.heartbeat_s <= HEARTBEAT_S_MAX);
        judge_text(&address);
        broker_address_done(&address);
    } else {
        must(error.text[0] != '\0' && strpbrk(error.text, "\r\n") == NULL);
        must(strstr(error.text, "hunter2") == NULL);
    }
    free_copy(url);
    return 0;
}
