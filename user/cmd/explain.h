/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of unproxy explain: bytes in any notation, judged, shown in one of two forms. */
#ifndef CMD_EXPLAIN_H
#define CMD_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "unproxy/proxy_header.h"
#include "unproxy/proxy_tlv.h"

struct explain {
	const uint8_t *bytes;
	uint32_t len;
	enum up_header_status status;
	struct up_header header;
};

/* Decode what somebody pasted or piped. Hex with or without separators (blanks, colons,
 * commas, 0x, \x) is hex. Anything else is taken as it is; with escapes, "\r", "\n",
 * "\\" and "\xNN" in it are understood, because a shell's arguments cannot hold all bytes.
 * out has room for len bytes. Returns how many were written, or -EINVAL for hex with an
 * odd number of digits. */
long explain_decode(const char *text, size_t len, bool escapes, uint8_t *out);

/* Bytes behind the header; 0 unless it is complete. */
static inline uint32_t explain_payload_len(const struct explain *explain)
{
	return explain->status == UP_HEADER_COMPLETE ? explain->len - explain->header.len : 0;
}

/* The payload begins with a header of its own. */
bool explain_is_stacked(const struct explain *explain);

/* Has a TLV of this type been before? Remembers it. Not asked of padding, nor of types that
 * are repeated on purpose. */
bool explain_is_duplicate(bool seen[256], const struct up_tlv *tlv);

/* "TCP over IPv4" for the transport byte of a version 2 header. Static. */
const char *explain_transport(uint8_t transport);

void explain_print(const struct explain *explain, FILE *out);

/* Returns 0 or -ENOMEM. */
int explain_print_json(const struct explain *explain, FILE *out);

#endif
