/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Clients that are refused: a pinned longest-prefix map, written by the daemon, obeyed by the
 * inline engine's programs with and without it. The relay keeps the same entries in its memory.
 */
#ifndef UNPROXY_DENY_ABI_H
#define UNPROXY_DENY_ABI_H

#include "unproxy/addr.h"

enum up_deny_verdict {
	UP_DENY_NONE = 0, /* says nothing: a shorter prefix may */
	UP_DENY_REFUSE = 1,
	UP_DENY_ALLOW = 2,
};

/* Key of `deny_list`. */
struct up_deny_key {
	__u32 prefix_len;
	__u8 ip[16]; /* network order; IPv4 mapped, so a /24 is 96 + 24 */
};

/* What is said of a network: by a person, and by deny_file. While the first says something, the
 * second does not count. */
struct up_deny {
	__u64 hits;             /* clients whose fate it decided */
	__u64 control_until_ns; /* CLOCK_BOOTTIME; 0: for ever */
	__u64 file_until_ns;
	enum up_deny_verdict control;
	enum up_deny_verdict file;
	__u32 prefix_len; /* as in the key, which a lookup does not tell */
	__u32 pad;
};
_Static_assert(sizeof(struct up_deny) == 40, "up_deny is map ABI");

static inline __attribute__((always_inline)) int up_deny_lasts(__u64 until_ns, __u64 now_ns)
{
	return !until_ns || until_ns > now_ns;
}

static inline __attribute__((always_inline)) enum up_deny_verdict
up_deny_says(const struct up_deny *entry, __u64 now_ns)
{
	if (entry->control && up_deny_lasts(entry->control_until_ns, now_ns))
		return entry->control;
	if (entry->file && up_deny_lasts(entry->file_until_ns, now_ns))
		return entry->file;
	return UP_DENY_NONE;
}

#endif
