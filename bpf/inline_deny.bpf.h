/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Is a client refused? Asked once for a connection, before the app can see it. */
#ifndef INLINE_DENY_BPF_H
#define INLINE_DENY_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "deny_map.bpf.h"

#define IP_BITS 128
#define MAPPED_BITS 96

static __always_inline bool is_mapped(const __u8 *ip)
{
	const __u32 *words = (const __u32 *)ip;

	return !words[0] && !words[1] && words[2] == bpf_htonl(0xFFFF);
}

/* The longest prefix that says something; what has expired is stepped over. A prefix too short
 * to be IPv4's says nothing of the IPv4 that is stored inside it. Before Linux 6.2 a map's key
 * must be on the function's own stack. */
__noinline bool deny_lookup(const struct up_deny_key *client)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct up_deny_key key;
	__u32 shortest;

	if (!client)
		return false;
	__builtin_memcpy(&key, client, sizeof(key));
	shortest = is_mapped(key.ip) ? MAPPED_BITS : 0;
	for (int i = 0; i <= IP_BITS; i++) {
		struct up_deny *entry = bpf_map_lookup_elem(&deny_list, &key);
		enum up_deny_verdict verdict;

		if (!entry || entry->prefix_len < shortest)
			return false;
		verdict = up_deny_says(entry, now);
		if (verdict != UP_DENY_NONE) {
			__sync_fetch_and_add(&entry->hits, 1);
			return verdict == UP_DENY_REFUSE;
		}
		if (!entry->prefix_len)
			return false;
		key.prefix_len = entry->prefix_len - 1;
	}
	return false;
}

static __always_inline bool is_denied(const __u8 *ip)
{
	struct up_deny_key key = { .prefix_len = IP_BITS };

	__builtin_memcpy(key.ip, ip, sizeof(key.ip));
	return deny_lookup(&key);
}

#endif
