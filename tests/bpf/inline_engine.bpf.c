// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The inline engine as it is, and what its tests need beside it: packets that somebody has
 * vouched for, and a catcher for what it passes on. */
#include "inline.bpf.c"
#include "inline_caught.h"

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

/* At lo, where real sockets talk, too: what they say is not for the engine to hear. */
bool unheard;

SEC("tc")
int lo_out(struct __sk_buff *skb)
{
	return unheard ? PASS : out(skb, ETH_HLEN);
}

/* What the engine has passed on, as the stack would get it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct caught);
} caught SEC(".maps");

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

SEC("tc")
int take_passed(struct __sk_buff *skb)
{
	const struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);
	__u32 zero = 0, len = skb->len;
	struct caught *c = bpf_map_lookup_elem(&caught, &zero);

	asm volatile("" : "+r"(len));
	if (!c || len == 0 || len > sizeof(c->bytes))
		return DROP;
	if (bpf_skb_load_bytes(skb, 0, c->bytes, len))
		return DROP;
	c->ip_summed = kernel->ip_summed;
	c->csum_start = kernel->csum_start - (int)(kernel->data - kernel->head);
	c->len = len;
	return DROP;
}

/* From one device to another, by the index of the first. */
__u32 beside[64];

SEC("tc")
int cross(struct __sk_buff *skb)
{
	return bpf_redirect(beside[skb->ifindex & 63], 0);
}
