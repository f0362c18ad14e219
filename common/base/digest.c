/* SHA-256 by OpenSSL. */
#include "common/base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

/* Looking an algorithm up costs more than a short digest. */
static pthread_once_t looked_up = PTHREAD_ONCE_INIT;
static EVP_MD *algorithm;

/* Where there was no memory for OpenSSL's own context, any other use of it would crash. */
static void look_up(void)
{
    if (OSSL_LIB_CTX_get0_global_default() != NULL) {
        algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    }
}

enum outcome digest_init(struct error *ret_error)
{
    pthread_once(&looked_up, look_up);
    return algorithm != NULL ? OUTCOME_OK
                             : error_set(ret_error, OUTCOME_BUSY,
                                         "OpenSSL cannot compute SHA-256: no memory, or its "
                                         "configuration does not provide it");
}

enum outcome digest_of(struct slice bytes, unsigned char ret_digest[DIGEST_BYTES],
                       struct error *ret_error)
{
    enum outcome outcome = digest_init(ret_error);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    if (EVP_Digest(bytes.data, bytes.length, ret_digest, NULL, algorithm, NULL) != 1) {
        return error_set(ret_error, OUTCOME_BUSY, "no memory for a digest");
    }
    return OUTCOME_OK;
}

void digest_text(const unsigned char digest[DIGEST_BYTES], char ret_text[DIGEST_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        ret_text[2 * i] = digits[digest[i] >> 4];
        ret_text[2 * i + 1] = digits[digest[i] & 0x0f];
    }
    ret_text[DIGEST_TEXT_BYTES - 1] = '\0';
}
