/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What parse_skb.bpf.c tells its test. */
#ifndef TESTS_BPF_PARSE_SKB_H
#define TESTS_BPF_PARSE_SKB_H

#include "unproxy/proxy_types.h"

struct parse_result {
	struct up_header_limits limits; /* set by the test */
	__u32 runs;                     /* segments seen */
	__u32 done;                     /* what follows is about the first one */
	__u32 skb_len;
	__s32 status; /* enum up_header_status */
	struct up_header header;
};

#endif
