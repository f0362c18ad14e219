/* Broker URLs: what each part becomes, and which part a refusal names. */
#include "common/amqp/broker_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void parts(void **state)
{
    (void)state;
    static const struct row {
        const char *url, *user, *password, *host;
        int port;
        const char *vhost;
    } rows[] = {
        /* RabbitMQ's specification, appendix A; an empty vhost is "/" here. */
        {"amqp://user:pass@host:10000/vhost", "user", "pass", "host", 10000, "vhost"},
        {"amqp://user%61:%61pass@ho%61st:10000/v%2fhost", "usera", "apass", "hoast", 10000,
         "v/host"},
        {"amqp://", "guest", "guest", "localhost", 5672, "/"},
        {"amqp://:@/", "", "", "localhost", 5672, "/"},
        {"amqp://user@", "user", "guest", "localhost", 5672, "/"},
        {"amqp://user:pass@", "user", "pass", "localhost", 5672, "/"},
        {"amqp://host", "guest", "guest", "host", 5672, "/"},
        {"amqp://:10000", "guest", "guest", "localhost", 10000, "/"},
        {"amqp:///vhost", "guest", "guest", "localhost", 5672, "vhost"},
        {"amqp://host/", "guest", "guest", "host", 5672, "/"},
        {"amqp://host/%2f", "guest", "guest", "host", 5672, "/"},
        {"amqp://[::1]", "guest", "guest", "::1", 5672, "/"},
        /* What brokers, dashboards and other libraries hand out. */
        {"amqps://host", "guest", "guest", "host", 5671, "/"},
        {"AMQPS://host:5672/v", "guest", "guest", "host", 5672, "v"},
        {"Amqp://u:p@HOST/V", "u", "p", "HOST", 5672, "V"},
        {"amqp://guest:guest@localhost:5672//", "guest", "guest", "localhost", 5672, "/"},
        {"amqps://[fe80::1%25eth0]:5671/%2F", "guest", "guest", "fe80::1%eth0", 5671, "/"},
        {"amqp://%C3%A4:%c3%a4%FF@h/%C3%A4", "\xc3\xa4", "\xc3\xa4\xff", "h", 5672, "\xc3\xa4"},
        {"amqp://\xc3\xa4:\xc3\xa4@h/\xc3\xa4", "\xc3\xa4", "\xc3\xa4", "h", 5672, "\xc3\xa4"},
        {"amqp://u:a:b@h", "u", "a:b", "h", 5672, "/"},
        {"amqp://u%3Av%40w:%25%2F%3f%23%40%2C%0a@h", "u:v@w", "%/?#@,\n", "h", 5672, "/"},
        {"amqp://u:p!$&'()*+;=@h/a b", "u", "p!$&'()*+;=", "h", 5672, "a b"},
        {"amqp://h:05672?", "guest", "guest", "h", 5672, "/"},
        {"amqp://h?heartbeat=5", "guest", "guest", "h", 5672, "/"},
        {"amqp://h/v?&heartbeat=5&", "guest", "guest", "h", 5672, "v"},
        {" \t\r\n\v\famqp://u:p@h/v \t\r\n\v\f", "u", "p", "h", 5672, "v"},
        {"\xef\xbb\xbf"
         "amqp://h/v\r\n",
         "guest", "guest", "h", 5672, "v"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct broker_address address;
        struct error error = {.text = ""};
        enum outcome outcome = broker_address_parse(slice_of(rows[i].url), &address, &error);
        if (outcome != OUTCOME_OK) {
            fail_msg("%s: %s", rows[i].url, error.text);
        }
        assert_string_equal(address.user, rows[i].user);
        assert_string_equal(address.password, rows[i].password);
        assert_string_equal(address.host, rows[i].host);
        assert_int_equal(address.port, rows[i].port);
        assert_string_equal(address.vhost, rows[i].vhost);
        assert_int_equal(address.tls, rows[i].url[4] == 's' || rows[i].url[4] == 'S');
        broker_address_done(&address);
    }
}

/* None of the texts below may be shown but the names of parameters; "hunter" is in each password.
 */
static void refusals_name_the_part(void **state)
{
    (void)state;
    static const struct row {
        const char *url, *named;
    } rows[] = {
        {"", "there is none"},
        {" \n", "there is none"},
        {"hunter", "scheme"},
        {"http://u:hunter@h/", "scheme"},
        {"amqp:u:hunter@h", "scheme"},
        {"amqp:/u:hunter@h", "scheme"},
        {"amqpss://u:hunter@h", "scheme"},
        {"\"amqp://u:hunter@h/\"", "in quotes"},
        {"'amqp://u:hunter@h/'", "in quotes"},
        {"amqp://u%:hunter@h", "user: a '%'"},
        {"amqp://u%0a:hunter@h", "user: a line end"},
        {"amqp://u\n:hunter@h", "user: a line end"},
        {"amqp://%FF:hunter@h", "user: it is not UTF-8"},
        {"amqp://u:hunter%2@h", "password: a '%'"},
        {"amqp://u:hunter%zz@h", "password: a '%'"},
        {"amqp://u:hunter%+1@h", "password: a '%'"},
        {"amqp://u:hunter% 1@h", "password: a '%'"},
        {"amqp://u:hunter%00@h", "password: a line end"},
        {"amqp://u:hunter\n@h", "password: a line end"},
        {"amqp://u:hun@ter@h", "user, password or vhost: an '@'"},
        {"amqp://u:hunter/x@h", "user, password or vhost: an '@'"},
        {"amqp://u:1?hunter=x@h", "user, password or vhost: an '@'"},
        {"amqp://u:1#hunter@h", "user, password or vhost: an '@'"},
        {"amqp://u:hunter", "port: it is not a number"},
        {"amqp://h:", "port"},
        {"amqp://h:0", "port"},
        {"amqp://h:65536", "port"},
        {"amqp://h:+1", "port"},
        {"amqp://h:99999999999999999999", "port"},
        {"amqp://h:5672x/", "port"},
        {"amqp://h: 5672/", "port"},
        {"amqp://h%00unter/", "host: a line end"},
        {"amqp://h x/", "host: a character"},
        {"amqp://h\t/", "host: a line end"},
        {"amqp://h%2Fv", "host: a character"},
        {"amqp://h%3Av", "host: a character"},
        {"amqp://::1/", "host: an IPv6 address stands in brackets"},
        {"amqp://::1:5672/", "host: an IPv6 address stands in brackets"},
        {"amqp://[::1/", "host: a '['"},
        {"amqp://[::1]x/", "host: a '['"},
        {"amqp://[]/", "host: what stands in brackets"},
        {"amqp://[host]/", "host: what stands in brackets"},
        {"amqp://[127.0.0.1]/", "host: what stands in brackets"},
        {"amqp://[::1%25]/", "host: what stands in brackets"},
        {"amqp://x[::1]/", "host: "},
        {"amqp://h/v/", "vhost: a '/'"},
        {"amqp://h//v", "vhost: a '/'"},
        {"amqp://h/v#x", "password or vhost: a '#'"},
        {"amqp://h/%", "vhost: a '%'"},
        {"amqp://h/v%0A", "vhost: a line end"},
        {"amqp://h/v\nw", "vhost: a line end"},
        {"amqp://h/%E4", "vhost: it is not UTF-8"},
        {"amqp://h?heartbeat", "not of the form NAME=VALUE"},
        {"amqp://h?=5", "has no name"},
        {"amqp://h?heart%62eat=5", "has no name"},
        {"amqp://h?hunter2=5", "has no name"},
        {"amqp://h?heartbeat=0", "parameter heartbeat: it takes 1 to 600 seconds"},
        {"amqp://h?heartbeat=601", "parameter heartbeat"},
        {"amqp://h?heartbeat=10s", "parameter heartbeat"},
        {"amqp://h?heartbeat=", "parameter heartbeat"},
        {"amqp://h?heartbeat=-1", "parameter heartbeat"},
        {"amqp://h?heartbeat=5&heartbeat=6", "parameter heartbeat: it is given twice"},
        {"amqp://h?connection_timeout=5", "parameter connection_timeout: it takes 100 to 600000"},
        {"amqp://h?channel_max=x", "parameter channel_max"},
        {"amqp://h?frame_max=4095", "parameter frame_max"},
        {"amqp://h?cacertfile=/ca", "parameter cacertfile: it is only for amqps://"},
        {"amqp://h?verify=verify_peer", "parameter verify: it is only for amqps://"},
        {"amqps://h?cacertfile=", "parameter cacertfile"},
        {"amqps://h?cacertfile=/a%00b", "parameter cacertfile: a line end"},
        {"amqps://h?certfile=%", "parameter certfile: a '%'"},
        {"amqps://h?verify=verify_none", "parameter verify: it takes only verify_peer"},
        {"amqps://h?server_name_indication=other", "parameter server_name_indication"},
        {"amqps://h?auth_mechanism=external", "parameter auth_mechanism: it takes only plain"},
        {"amqps://h?password=hunter", "parameter password: a key with a passphrase"},
        {"amqps://h?fail_if_no_peer_cert=true", "parameter fail_if_no_peer_cert"},
        {"amqp://h?retry_delay=5", "parameter retry_delay: it is not known"},
        {"amqp://h?Heartbeat=5", "parameter Heartbeat: it is not known"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct broker_address address = {.port = -1};
        struct error error = {.text = ""};
        assert_int_equal(broker_address_parse(slice_of(rows[i].url), &address, &error),
                         OUTCOME_INVALID);
        if (strstr(error.text, rows[i].named) == NULL) {
            fail_msg("%s: %s", rows[i].url, error.text);
        }
        assert_null(strstr(error.text, "hunter"));
        assert_int_equal(address.port, -1);
    }
    struct broker_address address;
    const struct slice with_nul = {"amqp://h/\0v", 11};
    assert_int_equal(broker_address_parse(with_nul, &address, NULL), OUTCOME_INVALID);
}

static void parameters(void **state)
{
    (void)state;
    struct broker_address address;
    assert_int_equal(
        broker_address_parse(
            slice_of("amqps://Broker.example.org/v?heartbeat=30&connection_timeout=10000&"
                     "channel_max=2047&frame_max=8192&cacertfile=/etc/c%61.pem&certfile=/c&"
                     "keyfile=/k&verify=verify_peer&auth_mechanism=PLAIN&"
                     "server_name_indication=broker.example.org"),
            &address, NULL),
        OUTCOME_OK);
    assert_string_equal(address.vhost, "v");
    assert_int_equal(address.heartbeat_s, 30);
    assert_int_equal(address.connection_timeout_ms, 10000);
    assert_int_equal(address.frame_bytes_max, 8192);
    assert_string_equal(address.tls_files.ca_file, "/etc/ca.pem");
    assert_string_equal(address.tls_files.cert_file, "/c");
    assert_string_equal(address.tls_files.key_file, "/k");
    broker_address_done(&address);
    broker_address_done(&address);

    assert_int_equal(
        broker_address_parse(slice_of("amqp://h?channelMax=0&frameMax=0"), &address, NULL),
        OUTCOME_OK);
    assert_int_equal(address.heartbeat_s, 0);
    assert_int_equal(address.frame_bytes_max, 0);
    assert_null(address.tls_files.ca_file);
    broker_address_done(&address);
}

static void lengths(void **state)
{
    (void)state;
    char url[1024];
    char text[BROKER_URL_TEXT_BYTES];
    struct broker_address address;
    (void)snprintf(url, sizeof(url), "amqp://h/%0255d", 0);
    assert_int_equal(broker_address_parse(slice_of(url), &address, NULL), OUTCOME_OK);
    broker_address_text(&address, text);
    assert_true(strlen(text) > 200 && strlen(text) < sizeof(text));
    broker_address_done(&address);
    (void)snprintf(url, sizeof(url), "amqp://h/%0256d", 0);
    assert_int_equal(broker_address_parse(slice_of(url), &address, NULL), OUTCOME_INVALID);
    (void)snprintf(url, sizeof(url), "amqp://%%C3%%A4%0500d@%0500d/", 0, 0);
    assert_int_equal(broker_address_parse(slice_of(url), &address, NULL), OUTCOME_OK);
    broker_address_text(&address, text);
    assert_true(strlen(text) < sizeof(text));
    broker_address_done(&address);
}

static void texts_show_no_secret(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"amqp://", "amqp://guest@localhost:5672/"},
        {"amqps://u:hunter@[::1]/?keyfile=/k&certfile=/c", "amqps://u@[::1]:5671/"},
        {"amqp://a%1f:x@h", NULL},
        {"amqp://%C3%A4%20%25:hunter@h/a%2Fb", "amqp://%C3%A4%20%25@h:5672/a%2Fb"},
        {"amqp://h\xc3\xa4", "amqp://guest@h%C3%A4:5672/"},
        {"amqp://[fe80::1%25eth0]", "amqp://guest@[fe80::1%25eth0]:5672/"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct broker_address address;
        char text[BROKER_URL_TEXT_BYTES];
        if (broker_address_parse(slice_of(rows[i][0]), &address, NULL) != OUTCOME_OK) {
            assert_null(rows[i][1]);
            continue;
        }
        broker_address_text(&address, text);
        assert_string_equal(text, rows[i][1]);
        broker_address_done(&address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts),
        cmocka_unit_test(refusals_name_the_part),
        cmocka_unit_test(parameters),
        cmocka_unit_test(lengths),
        cmocka_unit_test(texts_show_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
