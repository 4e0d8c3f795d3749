/* SPDX-License-Identifier: BSD-2-Clause */
/* The texts of enum up_reason, and a better guess from the bytes that were refused. */
#ifndef CLIENT_REASON_H
#define CLIENT_REASON_H

#include <stddef.h>
#include <stdint.h>

#include "unproxy/reason.h"

/* "no_header", "timeout", ...; "none" for UP_REASON_NONE, "unknown" beyond the table.
 * Static strings. */
const char *up_reason_name(enum up_reason reason);

/* What a human can do about it, or what the rule is; NULL for UP_REASON_NONE. Static. */
const char *up_reason_hint(enum up_reason reason);

/* What bytes without a header look like: "HTTP", "TLS", "SSH", ...; NULL if like nothing
 * known. Static. */
const char *reason_guess(const uint8_t *bytes, size_t len);

/* As up_reason_hint(), with what the refused bytes look like where that helps. Static. */
const char *reason_hint_for(enum up_reason reason, const uint8_t *bytes, size_t len);

#endif
