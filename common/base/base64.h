/* Bytes as base64 text (RFC 4648, with padding). Pure. */
#pragma once

#include "common/base/slice.h"

/* Returns text owned by the caller (free()); NULL: no memory, or more than 1 GiB. */
char *base64_text(struct slice bytes);
