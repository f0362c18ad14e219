/* Reads a file of bearer tokens, and compares digests in constant time. */
#include "common/http/auth_tokens.h"

#include "common/base/digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINE_BYTES_MAX = AUTH_TOKEN_BYTES_MAX + 64 }; /* with what is around a token */

struct auth_tokens {
    size_t count;
    unsigned char digests[AUTH_TOKENS_MAX][DIGEST_BYTES];
};

static bool is_visible(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

static enum outcome add_line(struct auth_tokens *tokens, struct slice line, const char *path,
                             unsigned number, struct error *ret_error)
{
    if (line.length == 0 || line.data[0] == '#') {
        return OUTCOME_OK;
    }
    if (line.length < AUTH_TOKEN_BYTES_MIN || line.length > AUTH_TOKEN_BYTES_MAX ||
        !is_visible(line)) {
        return error_set(ret_error, OUTCOME_INVALID,
                         "--auth-token-file %s: line %u is not a token of %d to %d visible ASCII "
                         "characters",
                         path, number, AUTH_TOKEN_BYTES_MIN, AUTH_TOKEN_BYTES_MAX);
    }
    if (tokens->count == AUTH_TOKENS_MAX) {
        return error_set(ret_error, OUTCOME_INVALID, "--auth-token-file %s: more than %d tokens",
                         path, AUTH_TOKENS_MAX);
    }
    enum outcome outcome = digest_of(line, tokens->digests[tokens->count], ret_error);
    if (outcome == OUTCOME_OK) {
        tokens->count++;
    }
    return outcome;
}

static enum outcome read_lines(struct auth_tokens *tokens, FILE *file, const char *path,
                               struct error *ret_error)
{
    char line[LINE_BYTES_MAX + 1];
    enum outcome outcome = OUTCOME_OK;
    for (unsigned number = 1; outcome == OUTCOME_OK; number++) {
        size_t length = 0;
        bool is_cut = false;
        int c = EOF;
        while ((c = getc(file)) != EOF && c != '\n') {
            is_cut = length == sizeof(line);
            if (!is_cut) {
                line[length++] = (char)c;
            }
        }
        if (c == EOF && (length == 0 || ferror(file))) {
            break;
        }
        struct slice text = {line, length};
        struct slice trimmed = slice_trimmed(text);
        /* What was cut is longer than any token, blanks included. */
        bool is_refused = is_cut && (trimmed.length == 0 || trimmed.data[0] != '#');
        outcome = add_line(tokens, is_refused ? text : trimmed, path, number, ret_error);
    }
    if (outcome == OUTCOME_OK && ferror(file)) {
        outcome = error_set_errno(ret_error, OUTCOME_INVALID, errno,
                                  "read the --auth-token-file %s", path);
    }
    OPENSSL_cleanse(line, sizeof(line));
    return outcome;
}

enum outcome auth_tokens_read(const char *path, struct auth_tokens **ret_tokens,
                              struct error *ret_error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return error_set_errno(ret_error, OUTCOME_INVALID, errno, "open the --auth-token-file %s",
                               path);
    }
    struct auth_tokens *tokens = calloc(1, sizeof(*tokens));
    if (tokens == NULL) {
        fclose(file);
        return error_set(ret_error, OUTCOME_BUSY, "no memory for tokens");
    }
    char buffer[BUFSIZ];
    (void)setvbuf(file, buffer, _IOFBF, sizeof(buffer)); /* one that can be wiped */
    enum outcome outcome = read_lines(tokens, file, path, ret_error);
    fclose(file);
    OPENSSL_cleanse(buffer, sizeof(buffer));
    if (outcome == OUTCOME_OK && tokens->count == 0) {
        outcome =
            error_set(ret_error, OUTCOME_INVALID, "--auth-token-file %s: holds no token", path);
    }
    if (outcome != OUTCOME_OK) {
        auth_tokens_free(tokens);
        return outcome;
    }
    *ret_tokens = tokens;
    return OUTCOME_OK;
}

size_t auth_tokens_count(const struct auth_tokens *tokens)
{
    return tokens->count;
}

bool auth_tokens_allow(const struct auth_tokens *tokens, struct slice authorization)
{
    static const char scheme[] = "Bearer ";
    const size_t scheme_length = sizeof(scheme) - 1;
    if (authorization.length <= scheme_length ||
        strncasecmp(authorization.data, scheme, scheme_length) != 0) {
        return false;
    }
    struct slice token = {authorization.data + scheme_length, authorization.length - scheme_length};
    while (token.length > 0 && *token.data == ' ') {
        token.data++;
        token.length--;
    }
    unsigned char digest[DIGEST_BYTES];
    if (digest_of(token, digest, NULL) != OUTCOME_OK) {
        return false;
    }
    int matches = 0;
    for (size_t i = 0; i < tokens->count; i++) {
        matches |= CRYPTO_memcmp(digest, tokens->digests[i], DIGEST_BYTES) == 0;
    }
    return matches != 0;
}

struct auth_tokens *auth_tokens_copy(const struct auth_tokens *tokens)
{
    struct auth_tokens *copy = malloc(sizeof(*copy));
    if (copy != NULL) {
        *copy = *tokens;
    }
    return copy;
}

static bool has_digest(const struct auth_tokens *tokens, const unsigned char *digest)
{
    for (size_t i = 0; i < tokens->count; i++) {
        if (CRYPTO_memcmp(digest, tokens->digests[i], DIGEST_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* A line may be there twice. */
static bool has_all(const struct auth_tokens *tokens, const struct auth_tokens *of)
{
    for (size_t i = 0; of != NULL && i < of->count; i++) {
        if (tokens == NULL || !has_digest(tokens, of->digests[i])) {
            return false;
        }
    }
    return true;
}

bool auth_tokens_equal(const struct auth_tokens *one, const struct auth_tokens *other)
{
    return has_all(one, other) && has_all(other, one);
}

void auth_tokens_free(struct auth_tokens *tokens)
{
    if (tokens != NULL) {
        OPENSSL_cleanse(tokens, sizeof(*tokens));
    }
    free(tokens);
}
