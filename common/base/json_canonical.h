/* One text for all JSON texts of the same value. Pure.
 *
 * Not part of a value: white space, the order of an object's members, and how a character of a
 * string is escaped. Part of it: how a number is written. 1.0 and 1 may be equal, and 0.1 and
 * 0.1000000000000000055 are for many readers; what differs in its digits is not taken for the same
 * here. */
#pragma once

#include "common/base/buffer.h"

enum {
    JSON_CANONICAL_DEPTH_MAX = 16,
    JSON_CANONICAL_MEMBERS_MAX = 64,
    JSON_CANONICAL_GROWTH = 2, /* times as long at the most: a comma is behind each element */
};

/* Appends the one text of `json`, which a parser has found valid and free of repeated names. False,
 * and nothing is appended: it is deeper, or an object has more members, or there is no memory. */
MUST_CHECK bool json_canonical_append(struct slice json, struct buffer *text);
