// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The cut alone: the test says how many bytes leave the front of the payload. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "inline_cut.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u32 cut_bytes, cut_seq;
int seen_state, seen_verified;

static __always_inline int run(struct __sk_buff *skb)
{
	struct cut cut = { .bytes = cut_bytes, .seq = cut_seq };
	struct packet p;

	if (!packet_parse(skb, ETH_HLEN, &p, PACKET_IN))
		return PASS;
	if (trim_padding(skb, &p))
		return DROP;
	cut.port = p.key.local_port;
	cut.state = checksum_state(skb, &p);
	seen_state = cut.state;
	seen_verified = csum_verified(skb, &p, cut.state);
	return cut_front(skb, &p, &cut) ? DROP : 0;
}

SEC("tc")
int cut_packet(struct __sk_buff *skb)
{
	return run(skb);
}

SEC("tc")
int cut_trusted(struct __sk_buff *skb)
{
	(void)bpf_csum_level(skb, BPF_CSUM_LEVEL_INC);
	return run(skb);
}
