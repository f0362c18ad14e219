/* One line of text in a file of one length, so that no write needs room that the disk may not have.
 */
#include "session-service/store/in_hand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "in-hand"
#define FORMAT "in-hand-1 "

enum { RECORD_BYTES = 256, COUNT_DIGITS_MAX = 9 };

void in_hand_init(struct in_hand *in_hand, const char *directory)
{
    *in_hand = (struct in_hand){.directory = directory, .descriptor = -1};
}

void in_hand_done(struct in_hand *in_hand)
{
    if (in_hand->descriptor >= 0) {
        (void)close(in_hand->descriptor);
    }
    in_hand->descriptor = -1;
}

static enum outcome fail(const struct in_hand *in_hand, const char *what, struct error *ret_error)
{
    return error_set_errno(ret_error, OUTCOME_BUSY, errno, "%s/" FILE_NAME ": cannot %s",
                           in_hand->directory, what);
}

/* False where it is no record; then nothing is known. */
static bool parse(const char record[RECORD_BYTES], struct in_hand *in_hand)
{
    const char *end = memchr(record, '\n', RECORD_BYTES);
    const char *at = record + strlen(FORMAT);
    if (end == NULL || memcmp(record, FORMAT, strlen(FORMAT)) != 0) {
        return false;
    }
    size_t count = 0;
    size_t digits = 0;
    for (; at < end && *at >= '0' && *at <= '9' && digits < COUNT_DIGITS_MAX; at++, digits++) {
        count = 10 * count + (size_t)(*at - '0');
    }
    if (digits == 0 || at == end || *at != ' ' || end - at > IN_HAND_KEY_BYTES) {
        return false;
    }
    at++;
    memcpy(in_hand->died_at, at, (size_t)(end - at));
    in_hand->died_at[end - at] = '\0';
    in_hand->died_alone = count == 1;
    in_hand->doubtful = count;
    return true;
}

/* What stands under the name now, created where nothing does. */
static enum outcome open_file(struct in_hand *in_hand, struct error *ret_error)
{
    struct named_file *name = &in_hand->name;
    int length = snprintf(name->path, sizeof(name->path), "%s/" FILE_NAME, in_hand->directory);
    if (length < 0 || (size_t)length >= sizeof(name->path)) {
        return error_set(ret_error, OUTCOME_INVALID, "the path of the state directory is too long");
    }
    in_hand->descriptor = open(name->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (in_hand->descriptor < 0 || named_file_remember(name, NULL) != OUTCOME_OK) {
        return fail(in_hand, "open it", ret_error);
    }
    return OUTCOME_OK;
}

/* What an operator has put there says nothing about the deaths of this process. */
static enum outcome open_again(struct in_hand *in_hand, struct error *ret_error)
{
    in_hand_done(in_hand);
    enum outcome outcome = open_file(in_hand, ret_error);
    if (outcome == OUTCOME_OK) {
        outcome = in_hand_mark(in_hand, in_hand->doubtful, (struct slice){0}, ret_error);
    }
    if (outcome != OUTCOME_OK) {
        in_hand_done(in_hand);
    }
    return outcome;
}

enum outcome in_hand_open(struct in_hand *in_hand, struct error *ret_error)
{
    if (in_hand->descriptor >= 0 && named_file_look_up(&in_hand->name) == NAMED_FILE_IN_PLACE) {
        return OUTCOME_OK;
    }
    if (in_hand->is_read) {
        return open_again(in_hand, ret_error);
    }
    enum outcome outcome = open_file(in_hand, ret_error);
    char record[RECORD_BYTES] = "";
    if (outcome == OUTCOME_OK && pread(in_hand->descriptor, record, sizeof(record), 0) < 0) {
        outcome = fail(in_hand, "read it", ret_error);
    } else if (outcome == OUTCOME_OK) {
        (void)parse(record, in_hand);
        outcome = in_hand_mark(in_hand, in_hand->doubtful, (struct slice){0}, ret_error);
    }
    in_hand->is_read = outcome == OUTCOME_OK;
    if (outcome != OUTCOME_OK) {
        in_hand_done(in_hand);
    }
    return outcome;
}

size_t in_hand_group_max(const struct in_hand *in_hand, size_t max)
{
    if (in_hand->doubtful == 0) {
        return max;
    }
    size_t half = in_hand->doubtful / 2;
    return half == 0 ? 1 : half < max ? half : max;
}

enum outcome in_hand_mark(struct in_hand *in_hand, size_t count, struct slice key,
                          struct error *ret_error)
{
    char record[RECORD_BYTES] = "";
    (void)snprintf(record, sizeof(record), FORMAT "%zu %.*s\n", count, (int)key.length,
                   key.length == 0 ? "" : key.data);
    ssize_t written = pwrite(in_hand->descriptor, record, sizeof(record), 0);
    if (written == (ssize_t)sizeof(record)) {
        return OUTCOME_OK;
    }
    errno = written < 0 ? errno : ENOSPC;
    return fail(in_hand, "write it", ret_error);
}

void in_hand_finish(struct in_hand *in_hand, size_t finished)
{
    in_hand->doubtful = in_hand->doubtful > finished ? in_hand->doubtful - finished : 0;
    if (in_hand->descriptor >= 0) {
        /* Where it fails, the next process halves its groups without a reason. */
        (void)!in_hand_mark(in_hand, in_hand->doubtful, (struct slice){0}, NULL);
    }
}
