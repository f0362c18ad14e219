/* The header by which tracers know a request, as W3C Trace Context has it. Pure; any thread. */
#pragma once

#include "common/base/slice.h"

enum { TRACEPARENT_BYTES = 55 };

/* True for the form `00-<32 hex>-<16 hex>-<2 hex>`. */
bool traceparent_is_valid(struct slice text);
