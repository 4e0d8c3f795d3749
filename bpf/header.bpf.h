/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Parse the PROXY header in a packet buffer. What is not whole in its first
 * UP_KERN_HEADER_MAX bytes is INCOMPLETE here and left to user space.
 */
#ifndef HEADER_BPF_H
#define HEADER_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "unproxy/proxy_header.h"

/* A verdict program also runs in process context (from the socket's backlog) and may be
 * interrupted there by itself, for another socket on the same CPU. So a CPU has several
 * slots, claimed and given back; that all are taken is not expected, and harmless. */
#define HEADER_SLOTS 4

struct header_slot {
	__u32 taken;
	__u8 bytes[UP_KERN_HEADER_MAX];
	struct up_parser parser;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HEADER_SLOTS);
	__type(key, __u32);
	__type(value, struct header_slot);
} header_scratch SEC(".maps");

static __always_inline struct header_slot *header_slot_claim(void)
{
	for (__u32 i = 0; i < HEADER_SLOTS; i++) {
		__u32 key = i;
		struct header_slot *slot = bpf_map_lookup_elem(&header_scratch, &key);

		if (slot && __sync_val_compare_and_swap(&slot->taken, 0, 1) == 0)
			return slot;
	}
	return NULL;
}

static __always_inline void header_slot_release(struct header_slot *slot)
{
	(void)__sync_val_compare_and_swap(&slot->taken, 1, 0);
}

/* Copy the buffer's first bytes. Returns how many, 0 on failure. */
static __always_inline __u32 header_load(struct __sk_buff *skb, struct header_slot *slot)
{
	__u32 len = skb->len;

	if (len > UP_KERN_HEADER_MAX)
		len = UP_KERN_HEADER_MAX;
	asm volatile("" : "+r"(len)); /* keep the check below: it is the verifier's proof */
	if (len == 0 || len > UP_KERN_HEADER_MAX)
		return 0;
	return bpf_skb_load_bytes(skb, 0, slot->bytes, len) ? 0 : len;
}

/* Parse what skb begins with. *ret (anywhere) is filled as by up_header_parse(); with an
 * empty or unreadable buffer, or no slot free, the answer is INCOMPLETE. */
static __noinline int header_parse_skb(struct __sk_buff *skb, const struct up_header_limits *limits,
				       struct up_header *ret)
{
	struct header_slot *slot = header_slot_claim();
	struct up_cursor cursor;
	int status;

	__builtin_memset(ret, 0, sizeof(*ret));
	if (!slot)
		return UP_HEADER_INCOMPLETE;
	__builtin_memset(&slot->parser, 0, sizeof(slot->parser));
	slot->parser.len = header_load(skb, slot);
	slot->parser.max_len = limits->max_len;
	slot->parser.flags = limits->flags;
	cursor.buf = slot->bytes;
	cursor.parser = &slot->parser;
	status = up_header_run(&cursor);
	__builtin_memcpy(ret, &slot->parser.out, sizeof(*ret));
	header_slot_release(slot);
	return status;
}

#endif
