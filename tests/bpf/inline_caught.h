/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A packet behind the inline engine, for both sides of its tests. */
#ifndef TESTS_BPF_INLINE_CAUGHT_H
#define TESTS_BPF_INLINE_CAUGHT_H

#define CAUGHT_UNNECESSARY 1 /* CHECKSUM_UNNECESSARY */
#define CAUGHT_PARTIAL 3     /* CHECKSUM_PARTIAL */

struct caught {
	unsigned int len; /* 0: nothing */
	int ip_summed;    /* include/linux/skbuff.h */
	int csum_start;   /* of CHECKSUM_PARTIAL, from the packet's first byte */
	unsigned char bytes[66000];
};

#endif
