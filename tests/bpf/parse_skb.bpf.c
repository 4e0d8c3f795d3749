// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The header parser alone in a verdict program: the first segment that arrives is parsed,
 * the answer left in an array for the test, and all bytes passed on to the socket.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "header.bpf.h"
#include "parse_skb.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 4);
	__type(key, __u64);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct parse_result);
} results SEC(".maps");

SEC("sk_skb/stream_verdict")
int parse_verdict(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct parse_result *result = bpf_map_lookup_elem(&results, &zero);
	struct up_header_limits limits;

	if (!result || !skb->len) /* a bare FIN */
		return SK_DROP;
	if (result->runs++)
		return SK_PASS;
	limits = result->limits;
	result->status = header_parse_skb(skb, &limits, &result->header);
	result->skb_len = skb->len;
	result->done = 1;
	return SK_PASS;
}
