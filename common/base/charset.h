/* What a media type says of the encoding of its characters. Pure; any thread. */
#pragma once

#include "common/base/slice.h"

/* False: it has a charset parameter, and that names neither UTF-8 nor ASCII. */
bool charset_is_utf8(struct slice media_type);
