/* What the files of the URL module share. */
#pragma once

#include "common/amqp/broker_url.h"

/* Takes what is behind the '?', overwriting it. Everything before it is in *address already. */
MUST_CHECK enum outcome broker_url_take_parameters(char *query, struct broker_address *address,
                                                   struct error *ret_error);

/* Replaces each %XX of a text, in place. `part` names it in the refusal: of a '%' that is none, of
 * a NUL, and of a control character, which only a secret may hold, and only as %XX. */
MUST_CHECK enum outcome broker_url_decode(char *text, const char *part, bool is_secret,
                                          struct error *ret_error);
