/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The PROXY protocol parser: the same lines run in the daemon, in the BPF programs and
 * under the fuzzer. Pure: no I/O, no allocation, no libc. It keeps nothing between calls:
 * call it again with all bytes so far when there are more.
 *
 * It does not say who may send a header, nor for how long one may wait for it.
 */
#ifndef UNPROXY_PROXY_HEADER_H
#define UNPROXY_PROXY_HEADER_H

#include "unproxy/proxy_types.h"
#include "unproxy/proxy_v1.h"
#include "unproxy/proxy_v2.h"

/* Parse with the caller's working state: for BPF, which must keep it in a map.
 * cursor->parser: len, max_len and flags are set, all else is zero. */
static inline enum up_header_status up_header_run(struct up_cursor *cursor)
{
	struct up_parser *parser = cursor->parser;

	if (parser->len > 0) {
		__u8 first = up_byte(cursor, 0);

		if (first == 'P')
			up_v1_parse(cursor);
		else if (first == '\r')
			up_v2_parse(cursor);
		else
			up_refuse(parser, 0, UP_REASON_NO_HEADER);
	}
	if (parser->status !=
	    UP_HEADER_COMPLETE) { /* nobody may take half an address for a client */
		__builtin_memset(&parser->out.src, 0, sizeof(parser->out.src));
		__builtin_memset(&parser->out.dst, 0, sizeof(parser->out.dst));
	}
	return parser->status;
}

#ifndef __bpf__

/*
 * Judge the first len bytes of a connection. What follows the header is not looked at.
 * Returns INCOMPLETE (also for len 0), COMPLETE or INVALID; *ret is always filled. Once
 * COMPLETE or INVALID, more bytes change neither the status nor any field of *ret.
 */
static inline enum up_header_status up_header_parse(const __u8 *buf, __u32 len,
						    const struct up_header_limits *limits,
						    struct up_header *ret)
{
	struct up_parser parser = { .len = len,
				    .max_len = limits->max_len,
				    .flags = limits->flags };
	struct up_cursor cursor = { .buf = buf, .parser = &parser };
	enum up_header_status status = up_header_run(&cursor);

	*ret = parser.out;
	return status;
}

/* Do these bytes begin with a header's signature? Asked of the payload: some balancers
 * stack headers, and only the first is taken off. */
static inline _Bool up_header_begins(const __u8 *buf, __u32 len)
{
	if (len >= UP_V2_SIGNATURE_LEN &&
	    !__builtin_memcmp(buf, UP_V2_SIGNATURE, UP_V2_SIGNATURE_LEN))
		return 1;
	return len >= 6 && !__builtin_memcmp(buf, "PROXY ", 6);
}

#endif
#endif
