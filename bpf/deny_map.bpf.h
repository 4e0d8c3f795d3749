/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The list of clients that are refused: made and pinned by its own object, deny.bpf.c, and lent
 * to the inline engine's. */
#ifndef DENY_MAP_BPF_H
#define DENY_MAP_BPF_H

#include "unproxy/deny_abi.h"

/* Size: set by the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct up_deny_key);
	__type(value, struct up_deny);
} deny_list SEC(".maps");

#endif
