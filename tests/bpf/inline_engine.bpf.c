// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The inline engine as it is, and what its tests need beside it: packets that somebody has
 * vouched for, and a catcher for what it passes on. */
#include "inline.bpf.c"

SEC("tc")
int vouched_in(struct __sk_buff *skb)
{
	(void)bpf_csum_level(skb, BPF_CSUM_LEVEL_INC);
	return in(skb, ETH_HLEN);
}

SEC("tc")
int vouched_out(struct __sk_buff *skb)
{
	(void)bpf_csum_level(skb, BPF_CSUM_LEVEL_INC);
	return out(skb, ETH_HLEN);
}

/* By the index of the device a packet came in at: where it goes out. */
__u32 beside[64];

SEC("tc")
int catch (struct __sk_buff *skb)
{
	__u32 target = beside[skb->ifindex & 63];

	return bpf_redirect(target, 0);
}
