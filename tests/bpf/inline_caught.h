/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A packet behind the inline engine, for both sides of its tests. */
#ifndef TESTS_BPF_INLINE_CAUGHT_H
#define TESTS_BPF_INLINE_CAUGHT_H

struct caught {
	unsigned int len; /* 0: nothing */
	int state;        /* enum checksum_state */
	unsigned int gso_size;
	unsigned char bytes[66000];
};

#endif
