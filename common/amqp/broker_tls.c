/* TLS for a broker connection: OpenSSL through rabbitmq-c, with this module's checks and writes.
 *
 * Certificate, host name and IP address are judged by OpenSSL's own verifier, because rabbitmq-c
 * knows no IP addresses and does not say why it refuses. Writing is SSL_write() on the library's
 * connection, because the library's own writes block. */
#include "common/amqp/broker_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>

/* Where the verifier, which only knows OpenSSL's objects, finds the connection. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int broker_index;

static void make_index(void)
{
    broker_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* Called for each certificate of the chain. The first to be wrong ends the handshake. */
static int take_verdict(int is_fine, X509_STORE_CTX *store)
{
    SSL *tls = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct broker *broker = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), broker_index);
    broker->tls = tls;
    if (!is_fine) {
        broker->tls_verdict = X509_STORE_CTX_get_error(store);
    }
    return is_fine;
}

/* Without it OpenSSL asks on the terminal. */
static int no_passphrase(char *text, int size, int is_writing, void *context)
{
    (void)text;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

/* `names` are those of the option and of the URL's parameter. */
static enum outcome file_error(const char *names, const char *path, const char *what,
                               struct error *ret_error)
{
    char reason[128] = "no reason was given";
    unsigned long number = ERR_get_error();
    if (number != 0) {
        ERR_error_string_n(number, reason, sizeof(reason));
    }
    ERR_clear_error();
    return error_set(ret_error, OUTCOME_INVALID, "--%s: %s cannot be used as %s: %s", names, path,
                     what, reason);
}

static enum outcome load_files(SSL_CTX *context, const struct broker_tls_files *files,
                               struct error *ret_error)
{
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    ERR_clear_error();
    if (files->ca_file == NULL) {
        if (SSL_CTX_set_default_verify_paths(context) != 1) {
            return file_error("amqp-ca-file, or cacertfile in the URL", "(the system's)",
                              "certificate authorities", ret_error);
        }
    } else if (SSL_CTX_load_verify_locations(context, files->ca_file, NULL) != 1) {
        return file_error("amqp-ca-file, or cacertfile in the URL", files->ca_file,
                          "certificate authorities", ret_error);
    }
    if (files->cert_file == NULL) {
        return OUTCOME_OK;
    }
    if (SSL_CTX_use_certificate_chain_file(context, files->cert_file) != 1) {
        return file_error("amqp-cert-file, or certfile in the URL", files->cert_file,
                          "a certificate", ret_error);
    }
    if (SSL_CTX_use_PrivateKey_file(context, files->key_file, SSL_FILETYPE_PEM) != 1) {
        return file_error("amqp-key-file, or keyfile in the URL", files->key_file,
                          "its key (without a passphrase)", ret_error);
    }
    return OUTCOME_OK;
}

enum outcome broker_tls_check_files(const struct broker_tls_files *files, struct error *ret_error)
{
    if ((files->cert_file == NULL) != (files->key_file == NULL)) {
        return error_set(
            ret_error, OUTCOME_INVALID,
            "--amqp-cert-file and --amqp-key-file (certfile and keyfile in the URL) are only "
            "of use together");
    }
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for TLS");
    }
    enum outcome outcome = load_files(context, files, ret_error);
    SSL_CTX_free(context);
    return outcome;
}

static bool expect_host(SSL_CTX *context, const char *host)
{
    X509_VERIFY_PARAM *expected = SSL_CTX_get0_param(context);
    if (X509_VERIFY_PARAM_set1_ip_asc(expected, host) == 1) {
        return true;
    }
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(expected, host, 0) == 1;
}

/* The library connects to an address, and has set it as the name of the server that is asked for.
 * The name takes its place before the first message; an address that the user wrote stays. */
static void name_server(const SSL *tls, int where, int value)
{
    SSL *changed = (SSL *)(uintptr_t)tls;
    (void)value;
    if ((where & SSL_CB_HANDSHAKE_START) != 0) {
        const char *host = X509_VERIFY_PARAM_get0_host(SSL_get0_param(changed), 0);
        if (host != NULL && SSL_set_tlsext_host_name(changed, host) != 1) {
            ERR_clear_error(); /* no memory: the server shows the certificate of its default */
        }
    }
}

enum outcome broker_tls_socket(struct broker *broker, const char *host,
                               const struct broker_tls_files *files, amqp_socket_t **ret_socket,
                               struct error *ret_error)
{
    pthread_once(&once, make_index);
    amqp_socket_t *socket = amqp_ssl_socket_new(broker->connection);
    SSL_CTX *context = socket == NULL ? NULL : amqp_ssl_socket_get_context(socket);
    if (context == NULL) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for TLS");
    }
    enum outcome outcome = load_files(context, files, ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 0); /* expect_host() does it */
    broker->tls_verdict = X509_V_OK;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, take_verdict);
    SSL_CTX_set_info_callback(context, name_server);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) != AMQP_STATUS_OK ||
        SSL_CTX_set_ex_data(context, broker_index, broker) != 1 || !expect_host(context, host)) {
        return error_set(ret_error, OUTCOME_BUSY, "set up TLS for %s", host);
    }
    *ret_socket = socket;
    return OUTCOME_OK;
}

const char *broker_tls_reason(void)
{
    unsigned long number = ERR_peek_last_error();
    ERR_clear_error();
    return number == 0 ? NULL : ERR_reason_error_string(number);
}

size_t broker_tls_hello(const char *host, char ret_bytes[BROKER_TLS_HELLO_BYTES])
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *tls = context == NULL ? NULL : SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    int length = 0;
    if (tls != NULL && in != NULL && out != NULL && SSL_set_tlsext_host_name(tls, host) == 1) {
        SSL_set_bio(tls, in, out);
        (void)SSL_connect(tls); /* it waits for an answer */
        length = BIO_read(out, ret_bytes, BROKER_TLS_HELLO_BYTES);
    } else {
        BIO_free(in);
        BIO_free(out);
    }
    SSL_free(tls);
    SSL_CTX_free(context);
    ERR_clear_error();
    return length > 0 ? (size_t)length : 0;
}

/* OpenSSL's reasons for what cannot be the beginning of a TLS record. */
static bool is_no_tls(unsigned long number)
{
    int reason = ERR_GET_REASON(number);
    return number != 0 &&
           (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG ||
            reason == SSL_R_BAD_RECORD_TYPE);
}

enum outcome broker_tls_connect_error(const struct broker *broker, const char *host, int status,
                                      int error_number, struct error *ret_error)
{
    if (broker->tls_verdict != X509_V_OK) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "TLS: the certificate that %s shows is refused: %s", host,
                         X509_verify_cert_error_string(broker->tls_verdict));
    }
    if (is_no_tls(ERR_peek_error())) {
        ERR_clear_error();
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "connect with TLS: the port speaks no TLS: write amqp:// in the URL, or "
                         "the broker's port for TLS (5671 where nothing else is configured)");
    }
    const char *reason = status == AMQP_STATUS_SSL_CONNECTION_FAILED ? broker_tls_reason() : NULL;
    if (reason != NULL) {
        return error_set(ret_error, OUTCOME_TRANSIENT, "connect with TLS: %s", reason);
    }
    if (status == AMQP_STATUS_SSL_CONNECTION_FAILED && error_number != 0 &&
        error_number != EAGAIN && error_number != EINPROGRESS) {
        return error_set_errno(ret_error, OUTCOME_TRANSIENT, error_number, "connect with TLS");
    }
    if (status == AMQP_STATUS_SSL_CONNECTION_FAILED) {
        return error_set(ret_error, OUTCOME_TRANSIENT,
                         "connect with TLS: the connection was closed during the handshake");
    }
    return broker_status_error(status, error_number, "connect with TLS", ret_error);
}

struct broker_tls_files broker_tls_files_of(const struct broker_address *address,
                                            const struct broker_tls_files *options)
{
    const struct broker_tls_files *own = &address->tls_files;
    bool has_pair = own->cert_file != NULL || own->key_file != NULL;
    return (struct broker_tls_files){
        .ca_file = own->ca_file != NULL ? own->ca_file : options->ca_file,
        /* A certificate and its key are of one source. */
        .cert_file = has_pair ? own->cert_file : options->cert_file,
        .key_file = has_pair ? own->key_file : options->key_file,
    };
}

/* Sets errno as the call on a socket would have. */
static void set_errno(const struct broker *broker, int error_number)
{
    switch (SSL_get_error(broker->tls, 0)) {
    case SSL_ERROR_WANT_WRITE:
    case SSL_ERROR_WANT_READ:
        errno = EAGAIN;
        break;
    case SSL_ERROR_SYSCALL:
        errno = error_number != 0 ? error_number : ECONNRESET;
        break;
    default:
        errno = EPROTO;
        break;
    }
    ERR_clear_error();
}

ssize_t broker_tls_write(struct broker *broker, const char *data, size_t length)
{
    size_t taken = 0;
    ERR_clear_error();
    errno = 0;
    if (SSL_write_ex(broker->tls, data, length, &taken) == 1) {
        return (ssize_t)taken;
    }
    set_errno(broker, errno);
    return -1;
}

ssize_t broker_tls_read(struct broker *broker, char *data, size_t room)
{
    size_t taken = 0;
    ERR_clear_error();
    errno = 0;
    if (SSL_read_ex(broker->tls, data, room, &taken) == 1) {
        return (ssize_t)taken;
    }
    int error_number = errno;
    /* A peer that is killed ends the stream without TLS's own farewell. */
    if (SSL_get_error(broker->tls, 0) == SSL_ERROR_ZERO_RETURN ||
        ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ERR_clear_error();
        return 0;
    }
    set_errno(broker, error_number);
    return -1;
}
