/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the header parser takes and gives. The parser itself is in proxy_header.h.
 */
#ifndef UNPROXY_PROXY_TYPES_H
#define UNPROXY_PROXY_TYPES_H

#include "unproxy/addr.h"
#include "unproxy/reason.h"

#define UP_HEADER_MAX 65551 /* 16 + 65535 */
#define UP_HEADER_V1_MAX 107
#define UP_KERN_HEADER_MAX 4096 /* the kernel side parses that much; user space the rest */

enum up_header_status {
	UP_HEADER_INCOMPLETE, /* a proper prefix of a valid header: wait */
	UP_HEADER_COMPLETE,   /* header->len bytes are the header */
	UP_HEADER_INVALID,    /* header->reason says why, ->error_at where */
};

enum up_command { UP_COMMAND_LOCAL = 0, UP_COMMAND_PROXY = 1 };

/* Version 2: the two halves of header->transport. */
enum up_v2_family { UP_V2_UNSPEC = 0, UP_V2_INET = 1, UP_V2_INET6 = 2, UP_V2_UNIX = 3 };
enum up_v2_protocol { UP_V2_ANY = 0, UP_V2_STREAM = 1, UP_V2_DGRAM = 2 };

enum up_tlv_type {
	UP_TLV_ALPN = 0x01,
	UP_TLV_AUTHORITY = 0x02,
	UP_TLV_CRC32C = 0x03,
	UP_TLV_NOOP = 0x04,
	UP_TLV_UNIQUE_ID = 0x05,
	UP_TLV_SSL = 0x20,
	UP_TLV_NETNS = 0x30,
	UP_TLV_GCP = 0xE0,
	UP_TLV_ALIBABA = 0xE1,
	UP_TLV_AWS = 0xEA,
	UP_TLV_AZURE = 0xEE,
};

#define UP_HEADER_V1_IPV4_IN_TCP6 0x1 /* accept IPv4 text after TCP6 (nginx sends it) */

struct up_header_limits {
	__u32 max_len; /* bytes; a longer header is refused by a reason of its own */
	__u32 flags;
};

struct up_header {
	__u32 len;      /* bytes of the header; valid when complete */
	__u32 need;     /* when incomplete: at least this many bytes in all, if known, else 0 */
	__u32 tlv_at;   /* offset of the TLV range from the header's first byte */
	__u32 tlv_len;  /* bytes of TLVs; 0 for version 1, LOCAL that does not tile */
	__u32 error_at; /* offset of the byte that refuses */
	__u16 reason;   /* enum up_reason */
	__u8 version;   /* 1 or 2; 0 while unknown */
	__u8 command;   /* enum up_command */
	__u8 has_addr;  /* 1: src and dst are the client's; 0: use the socket's own */
	__u8 transport; /* version 2: family << 4 | protocol, as received */
	__u8 pad[2];
	struct up_addr src;
	struct up_addr dst;
};
_Static_assert(sizeof(struct up_header) == 68, "up_header is kept in maps");

#endif
