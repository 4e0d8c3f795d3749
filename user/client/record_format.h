/* SPDX-License-Identifier: BSD-2-Clause */
/* A record as a line of the client log. Pure: no I/O, no allocation. */
#ifndef CLIENT_RECORD_FORMAT_H
#define CLIENT_RECORD_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "client/record.h"
#include "conf/conf.h"

/* What one writer keeps from line to line: calendars are dear, and many lines share a second.
 * Zero-initialise, then set format. */
struct record_formatter {
	enum conf_log_format format;
	uint64_t second;
	char date[32]; /* of that second, in the format's own way; empty: none yet */
};

/* The most bytes the line of this record may need. */
size_t record_format_bound(const struct record *record);

/* Write the line, newline included, to buf, which has room for record_format_bound().
 * tlvs holds record->tlv_len bytes. Returns its length. */
size_t record_format(struct record_formatter *formatter, const struct record *record,
		     const uint8_t *tlvs, char *buf);

#endif
