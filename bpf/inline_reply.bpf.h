/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packets of our own, made of the one at hand: turned round and sent back to where it came
 * from, in the app's numbers, so that our program on the way out translates them as it does
 * the app's. After that the packet is turned again, and goes on to the app without payload.
 */
#ifndef INLINE_REPLY_BPF_H
#define INLINE_REPLY_BPF_H

#include "inline_cut.bpf.h"
#include "inline_flow.bpf.h"

#define MAC_LEN 6
#define IPV4_OFF_TTL 8
#define IPV4_OFF_SADDR 12
#define IPV6_OFF_HOPS 7
#define IPV6_OFF_SADDR 8
#define REPLY_TTL 64

/* skb->tc_index of a packet of ours on its way out: what it says is not the host's word. */
#define OWN_PACKET 0x7570

/* Take the payload off; the flags stay. Afterwards p->len is 0. */
__noinline long drop_payload(struct __sk_buff *skb, struct packet *p)
{
	long err;

	if (!p)
		return -1;
	if (skb->len > p->data) {
		err = bpf_skb_change_tail(skb, p->data, 0);
		if (err)
			return err;
		err = set_ip_len(skb, p, p->data - p->net);
		if (err)
			return err;
	}
	p->len = 0;
	return 0;
}

static __always_inline long swap_bytes(struct __sk_buff *skb, __u32 at, __u32 half)
{
	__u8 first[16], second[16];
	long err;

	err = bpf_skb_load_bytes(skb, at, first, half);
	if (!err)
		err = bpf_skb_load_bytes(skb, at + half, second, half);
	if (!err)
		err = bpf_skb_store_bytes(skb, at, second, half, 0);
	return err ? err : bpf_skb_store_bytes(skb, at + half, first, half, 0);
}

/* Swap source and destination, of Ethernet and IP. No sum changes by it. */
__noinline long packet_turn(struct __sk_buff *skb, const struct packet *p)
{
	long err = 0;

	if (!p)
		return -1;
	if (p->net >= ETH_HLEN)
		err = swap_bytes(skb, 0, MAC_LEN);
	if (err)
		return err;
	return p->version == 4 ? swap_bytes(skb, p->net + IPV4_OFF_SADDR, 4)
			       : swap_bytes(skb, p->net + IPV6_OFF_SADDR, 16);
}

static __always_inline __u32 ttl_at(const struct packet *p)
{
	return p->net + (p->version == 4 ? IPV4_OFF_TTL : IPV6_OFF_HOPS);
}

static __always_inline __u8 get_ttl(struct __sk_buff *skb, const struct packet *p)
{
	__u8 ttl = REPLY_TTL;

	(void)bpf_skb_load_bytes(skb, ttl_at(p), &ttl, sizeof(ttl));
	return ttl;
}

static __always_inline long set_ttl(struct __sk_buff *skb, const struct packet *p, __u8 ttl)
{
	__u8 before[2], after[2]; /* IPv4's sum is over words: the protocol is in this one */
	long err;

	if (p->version == 6)
		return bpf_skb_store_bytes(skb, ttl_at(p), &ttl, 1, BPF_F_RECOMPUTE_CSUM);
	err = bpf_skb_load_bytes(skb, ttl_at(p), before, sizeof(before));
	if (err)
		return err;
	after[0] = ttl;
	after[1] = before[1];
	err = bpf_l3_csum_replace(skb, p->net + IPV4_OFF_CHECK, *(__u16 *)before, *(__u16 *)after,
				  2);
	return err ? err : bpf_skb_store_bytes(skb, ttl_at(p), after, sizeof(after), 0);
}

/* What a packet of ours says, in the app's numbers. */
struct reply {
	__u32 seq;
	__u32 ack;
	__u8 flags;
};

/* RST to the sender, where it believes one (RFC 9293, 3.10.7.1). */
static __always_inline struct reply reply_reset(const struct packet *p)
{
	struct reply reply = { .seq = p->flags & TCP_ACK ? p->ack : 0,
			       .ack = p->seq + p->len + !!(p->flags & (TCP_SYN | TCP_FIN)),
			       .flags = TCP_RST | TCP_ACK };

	return reply;
}

/* The sender's header made ours. Its options become NOPs, but for the timestamps: without
 * them the sender would drop our packet (RFC 7323, 3.2). */
static __always_inline void image_answer(struct tcp_image *image, const struct packet *p,
					 const struct up_flow *flow, const struct reply *reply,
					 __be32 echo)
{
	static const __u8 timestamps[4] = { TCPOPT_NOP, TCPOPT_NOP, TCPOPT_TIMESTAMP,
					    TIMESTAMP_LEN };
	struct tcphdr *tcp = image_head(image);

	tcp->source = bpf_htons(flow ? flow->app_port : p->key.local_port);
	tcp->dest = bpf_htons(p->key.remote_port);
	tcp->seq = bpf_htonl(reply->seq);
	tcp->ack_seq = bpf_htonl(reply->ack);
	image->bytes[TCP_OFF_FLAGS] = reply->flags;
	tcp->window = flow ? bpf_htons(flow->window) : 0;
	tcp->urg_ptr = 0;
	__builtin_memset(image->bytes + TCP_MIN, TCPOPT_NOP, sizeof(image->bytes) - TCP_MIN);
	if (!echo || !flow || !(flow->options & UP_FLOW_TIMESTAMPS))
		return;
	__builtin_memcpy(image->bytes + TCP_MIN, timestamps, sizeof(timestamps));
	__builtin_memcpy(image->bytes + TCP_MIN + 4, &flow->ts_down, 4);
	__builtin_memcpy(image->bytes + TCP_MIN + 8, &echo, 4);
}

/* The timestamp of the packet at hand, as it stands there; 0: none. */
static __always_inline __be32 timestamp_of(struct __sk_buff *skb, const struct packet *p,
					   const struct tcp_image *image)
{
	struct tcp_options found;
	__be32 value = 0;

	options_find(image, &found);
	if (found.timestamp)
		(void)bpf_skb_load_bytes(skb, p->l4 + found.timestamp + 2, &value, sizeof(value));
	return value;
}

/*
 * Send a packet to the sender of the one at hand, which has no payload any more. What is left
 * of that one is turned round and has our TCP header: see reply_and_pass(). flow may be NULL.
 */
static __noinline long packet_reply(struct __sk_buff *skb, const struct packet *p,
				    const struct up_flow *flow, const struct reply *reply)
{
	struct tcp_image image = { 0 };
	int state = checksum_state(skb, p);
	__u32 tc_index;
	long err;

	if (!image_load(skb, p, &image))
		return -1;
	image_answer(&image, p, flow, reply, timestamp_of(skb, p, &image));
	err = packet_turn(skb, p);
	if (!err)
		err = set_ttl(skb, p, REPLY_TTL); /* its way begins here */
	if (!err)
		err = image_seal(skb, p, &image, state);
	if (err)
		return err;
	tc_index = skb->tc_index;
	skb->tc_index = OWN_PACKET;
	err = bpf_clone_redirect(skb, skb->ifindex, 0);
	skb->tc_index = tc_index;
	if (err)
		return err;
	if (reply->flags & TCP_RST)
		FLOW_STAT(resets_sent);
	else
		FLOW_STAT(acks_sent);
	return 0;
}

/* Answer the sender; the packet at hand goes no further. */
static __noinline int reply_only(struct __sk_buff *skb, struct packet *p,
				 const struct up_flow *flow, const struct reply *reply)
{
	if (drop_payload(skb, p) || packet_reply(skb, p, flow, reply))
		FLOW_STAT(failed);
	return DROP;
}

/*
 * Answer the sender with `reply` (none: flags 0), and send the packet at hand on to the app
 * without payload, as a segment at seq with these flags.
 */
static __noinline int reply_and_pass(struct __sk_buff *skb, struct packet *p,
				     const struct up_flow *flow, const struct reply *reply,
				     const struct reply *inward)
{
	struct header_scratch *scratch = scratch_get();
	struct tcp_image *image;
	int state;

	if (!scratch)
		return DROP;
	image = &scratch->sender;
	if (drop_payload(skb, p) || !image_load(skb, p, image))
		goto failed;
	if (reply->flags) {
		__u8 ttl = get_ttl(skb, p);

		if (packet_reply(skb, p, flow, reply) || packet_turn(skb, p) ||
		    set_ttl(skb, p, ttl))
			goto failed;
	}
	state = checksum_state(skb, p);
	image_head(image)->dest = bpf_htons(flow->app_port);
	image_head(image)->seq = bpf_htonl(inward->seq);
	image_head(image)->urg_ptr = 0;
	image->bytes[TCP_OFF_FLAGS] = inward->flags;
	if (image_seal(skb, p, image, state))
		goto failed;
	return PASS;
failed:
	FLOW_STAT(failed);
	return DROP;
}

#endif
