/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The parser's working state and the two things that differ between a program that the
 * kernel verifies and one that it does not: how a long loop is driven, and how an index
 * is proven to be in bounds. Private to proxy_header.h and bpf/header.bpf.h.
 *
 * The verifier follows known values: a position that it can count would make it walk
 * every byte of every header. All state therefore lives in memory that it knows nothing
 * of (a map slot), and only pointers are kept on the stack.
 */
#ifndef UNPROXY_PROXY_STATE_H
#define UNPROXY_PROXY_STATE_H

#include "unproxy/proxy_types.h"

struct up_parser {
	__u32 len;     /* bytes at hand */
	__u32 max_len; /* from the limits */
	__u32 flags;
	__u32 status; /* enum up_header_status */
	__u32 pos;    /* the next byte to look at */

	/* version 1 */
	__u32 value; /* number being read; an IPv6 group keeps its last four digits */
	__u8 family; /* of the line: 4 or 6 */
	__u8 field;  /* enum up_v1_field */
	__u8 digits; /* of the number being read */
	__u8 octets; /* IPv4: numbers complete */
	__u8 groups; /* IPv6: groups complete */
	__u8 gap;    /* IPv6: groups before "::", UP_V1_NO_GAP if there was none */
	__u8 colons; /* IPv6: how many stand right before this byte */
	__u8 dotted; /* an IPv4 address, or the IPv4 tail of an IPv6 address */
	__u8 ip_at;  /* where in ip[] the dotted octets go */
	__u8 pad[3];

	/* version 2 */
	__u32 end;     /* of the header */
	__u32 ssl_end; /* of the SSL TLV that pos is inside of; 0: none */
	__u32 crc_at;  /* the first CRC32C's value; 0: none */
	__u32 crc;

	__u8 ip[16]; /* address being read */
	struct up_header out;
};

/* What every step of the parser is given. */
struct up_cursor {
	const __u8 *buf;
	struct up_parser *parser;
};

#ifdef __bpf__

#define UP_NOINLINE __attribute__((noinline))
#define up_loop(times, step, cursor) bpf_loop(times, step, cursor, 0)

/* The asm keeps the compiler from proving the mask needless and dropping it: the
 * verifier, which knows less, wants to see it. */
static inline __u32 up_bounded(__u32 index, __u32 mask)
{
	asm volatile("" : "+r"(index));
	return index & mask;
}

#define up_index(index) up_bounded(index, UP_KERN_HEADER_MAX - 1)

#else

#define UP_NOINLINE
#define up_bounded(index, mask) ((index) & (mask))
#define up_index(index) (index)

/* Call step(0..times-1, cursor) until it returns other than 0: bpf_loop()'s contract. */
static inline void up_loop(__u32 times, long (*step)(__u32, void *), struct up_cursor *cursor)
{
	for (__u32 i = 0; i < times; i++)
		if (step(i, cursor))
			return;
}

#endif

static inline __u8 up_byte(const struct up_cursor *cursor, __u32 at)
{
	return cursor->buf[up_index(at)];
}

static inline __u32 up_be16(const struct up_cursor *cursor, __u32 at)
{
	return (__u32)up_byte(cursor, at) << 8 | up_byte(cursor, at + 1);
}

static inline void up_refuse(struct up_parser *parser, __u32 at, enum up_reason reason)
{
	parser->status = UP_HEADER_INVALID;
	parser->out.reason = (__u16)reason;
	parser->out.error_at = at;
}

enum up_match { UP_MATCH_YES, UP_MATCH_MORE, UP_MATCH_NO };

/* Compare the bytes from at on with a word; at the first difference refuse for reason. */
static inline enum up_match up_match(const struct up_cursor *cursor, __u32 at, const char *word,
				     __u32 n, enum up_reason reason)
{
	for (__u32 i = 0; i < n; i++) {
		if (at + i >= cursor->parser->len)
			return UP_MATCH_MORE;
		if (up_byte(cursor, at + i) != (__u8)word[i]) {
			up_refuse(cursor->parser, at + i, reason);
			return UP_MATCH_NO;
		}
	}
	return UP_MATCH_YES;
}

#endif
