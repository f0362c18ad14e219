/* OpenSSL's encoder. */
#include "common/base/base64.h"

#include <openssl/evp.h>
#include <stdlib.h>

enum { BYTES_MAX = 1024 * 1024 * 1024 };

char *base64_text(struct slice bytes)
{
    if (bytes.length > BYTES_MAX) {
        return NULL;
    }
    unsigned char *text = malloc(4 * ((bytes.length + 2) / 3) + 1);
    if (text != NULL) {
        (void)EVP_EncodeBlock(text, (const unsigned char *)bytes.data, (int)bytes.length);
    }
    return (char *)text;
}
