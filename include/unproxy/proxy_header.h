/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* CONTRACT STUB: the parser's author fills this in; the types below are fixed. */
#ifndef UNPROXY_PROXY_HEADER_H
#define UNPROXY_PROXY_HEADER_H

#include "unproxy/addr.h"

#define UP_HEADER_MAX 65551 /* 16 + 65535 */
#define UP_HEADER_V1_MAX 107

enum up_header_status {
	UP_HEADER_INCOMPLETE, /* a proper prefix of a valid header: wait */
	UP_HEADER_COMPLETE,   /* header->len bytes are the header */
	UP_HEADER_INVALID,    /* header->reason says why, ->error_at where */
};

/* Why a header was refused. UP_REASON_NONE is 0. Names via up_reason_name(). */
enum up_reason {
	UP_REASON_NONE = 0,
	/* ... one per rule of the protocol ... */
	UP_REASON__MAX,
};

enum up_command { UP_COMMAND_LOCAL = 0, UP_COMMAND_PROXY = 1 };

#define UP_HEADER_V1_IPV4_IN_TCP6 0x1 /* accept IPv4 text after TCP6 (nginx sends it) */

struct up_header_limits {
	__u32 max_len; /* bytes; a longer header is refused by a reason of its own */
	__u32 flags;
};

struct up_header {
	__u32 len;       /* bytes of the header; valid when complete */
	__u32 need;      /* when incomplete: at least this many bytes in all, if known, else 0 */
	__u32 tlv_at;    /* offset of the TLV range from the header's first byte */
	__u32 tlv_len;   /* bytes of TLVs; 0 for version 1, LOCAL that does not tile */
	__u32 error_at;  /* offset of the byte that refuses */
	__u16 reason;    /* enum up_reason */
	__u8 version;    /* 1 or 2; 0 while unknown */
	__u8 command;    /* enum up_command */
	__u8 has_addr;   /* 1: src and dst are the client's; 0: use the socket's own */
	__u8 transport;  /* version 2: family << 4 | protocol, as received */
	__u8 pad[2];
	struct up_addr src;
	struct up_addr dst;
};

/*
 * static inline enum up_header_status
 * up_header_parse(const __u8 *buf, __u32 len, const struct up_header_limits *limits, struct up_header *ret);
 */
#endif
