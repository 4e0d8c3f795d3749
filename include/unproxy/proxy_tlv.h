/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Walk a range of TLVs, one after the other. For user space; the parser has its own walk.
 */
#ifndef UNPROXY_PROXY_TLV_H
#define UNPROXY_PROXY_TLV_H

#include "unproxy/proxy_types.h"

struct up_tlv {
	const __u8 *value;
	__u16 len;
	__u8 type;
};

/* Zero-initialised but for at and end: the bytes not yet walked. */
struct up_tlv_walk {
	const __u8 *at;
	const __u8 *end;
};

/* Take the next TLV. False at the end, or where the rest is no whole TLV: then
 * walk->at != walk->end, and *ret is untouched. */
static inline _Bool up_tlv_next(struct up_tlv_walk *walk, struct up_tlv *ret)
{
	unsigned long left = (unsigned long)(walk->end - walk->at);
	__u16 len;

	if (left < 3)
		return 0;
	len = (__u16)(walk->at[1] << 8 | walk->at[2]);
	if (len > left - 3)
		return 0;
	*ret = (struct up_tlv){ .value = walk->at + 3, .len = len, .type = walk->at[0] };
	walk->at += 3 + len;
	return 1;
}

#endif
