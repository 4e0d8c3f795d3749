/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The inline engine's maps. All but the scratch are pinned, so that connections outlive the
 * daemon. Sizes that are 1 here are set before loading.
 */
#ifndef INLINE_MAPS_BPF_H
#define INLINE_MAPS_BPF_H

#include "flow_maps.bpf.h"
#include "unproxy/proxy_header.h"

/* A header that is not whole yet. The bytes are the last member, and the event is right
 * before them: so it goes out with the header behind it, uncopied. */
struct header_buffer {
	struct up_parser parser;
	struct up_flow_event event;
	__u8 bytes[UP_INLINE_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct up_flow_key);
	__type(value, struct header_buffer);
} partials SEC(".maps");

/* A TCP header outside of its packet, options included; a multiple of four bytes. */
struct tcp_image {
	__u8 bytes[64]; /* 60 at most, and a power of two for masks */
	__u32 len;
};

/* A tc program is not interrupted by another one on its CPU, and what clone_redirect nests
 * into ingress is egress, which uses no scratch: one place for each CPU is enough. */
struct header_scratch {
	struct header_buffer header;
	struct tcp_image sender; /* the TCP header as it came, while the packet has ours */
	__u8 chunk[512 + 8];     /* for sums over packet bytes */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct header_scratch);
} inline_scratch SEC(".maps");

static __always_inline struct header_scratch *scratch_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&inline_scratch, &zero);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct up_listen_key);
	__type(value, struct up_listen);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct up_trust_key);
	__type(value, __u32);
} trust SEC(".maps");

/* A role is taken off only when no flow can need it any more. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct up_ports);
} ports SEC(".maps");

/* The daemon's own: where our filters are, for the next daemon and for `unproxy detach`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct up_attachment);
} attachments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} flow_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct up_flow_stats);
} flow_stats SEC(".maps");

#define FLOW_STAT(field)                                                             \
	do {                                                                         \
		__u32 _zero = 0;                                                     \
		struct up_flow_stats *_s = bpf_map_lookup_elem(&flow_stats, &_zero); \
		if (_s)                                                              \
			_s->field++;                                                 \
	} while (0)

#endif
