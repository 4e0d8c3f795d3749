/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the app's host answers: acknowledgements are of the wire's numbers again.
 */
#ifndef INLINE_OUT_BPF_H
#define INLINE_OUT_BPF_H

#include "inline_reply.bpf.h"

/* What our own acknowledgements repeat of the host's. */
static __noinline void learn_host(struct __sk_buff *skb, const struct packet *p,
				  struct up_flow *flow)
{
	struct tcp_image image = { 0 };
	struct tcp_options found;
	__u8 scale = 0;

	if (!image_load(skb, p, &image))
		return;
	options_find(&image, &found);
	if (p->flags & TCP_SYN) {
		if (found.window)
			(void)bpf_skb_load_bytes(skb, p->l4 + found.window + 2, &scale, 1);
		flow->options = found.timestamp ? flow->options | UP_FLOW_TIMESTAMPS
						: flow->options & ~UP_FLOW_TIMESTAMPS;
	}
	flow->window = p->window >> (scale & 15);
	if (found.timestamp)
		(void)bpf_skb_load_bytes(skb, p->l4 + found.timestamp + 2, &flow->ts_down,
					 sizeof(flow->ts_down));
}

static __always_inline void out_syn_ack(struct __sk_buff *skb, const struct packet *p,
					struct up_flow *flow)
{
	flow->down_start = p->seq + 1;
	if (p->ack !=
	    flow->seq_start) { /* the host has taken another SYN: what we have is not its */
		bpf_map_delete_elem(&partials, &p->key);
		flow->got = 0;
		flow->seq_start = p->ack;
	}
	learn_host(skb, p, flow);
	(void)flow_change(flow, FLOW_WORD(UP_FLOW_SYN, 0), FLOW_WORD(UP_FLOW_HEADER, 0));
}

/* What out_handshake() returns of a packet that nobody is to see: no failure. */
#define HELD_BACK 1

static __always_inline long out_handshake(struct __sk_buff *skb, const struct packet *p,
					  struct up_flow *flow)
{
	flow_need_timer(flow);
	if (p->flags & TCP_RST) { /* nobody listens; or a SYN with another number ended it */
		flow_refuse(&p->key, flow,
			    flow_state(flow_word(flow)) == UP_FLOW_SYN ? UP_REASON_NO_BACKEND
								       : UP_REASON_RESET);
		return 0;
	}
	if ((p->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
		out_syn_ack(skb, p, flow);
		return 0;
	}
	/* An older connection, in TIME_WAIT: the sender must see what that expects, and reset it. */
	if (flow_state(flow_word(flow)) == UP_FLOW_SYN)
		return 0;
	/* To a SYN that is late on its way, a half-open connection answers with a newer timestamp
	 * than its SYN-ACK's, and then takes no packet that echoes it (tcp_check_req(),
	 * TSECRREJECTED): nobody needs that answer, but who has begun anew. */
	return skb->tc_index == OWN_PACKET || flow->marks & UP_FLOW_CHALLENGED ? 0 : HELD_BACK;
}

/* Shift the edges of SACK and D-SACK blocks. Linux aligns them; at an odd place a sum would
 * have to be swapped. */
__noinline long shift_sack(struct __sk_buff *skb, const struct packet *p, __u32 by)
{
	struct tcp_image image = { 0 };
	struct tcp_options found;
	__u8 option[2];
	__u32 edges;

	if (!p || !image_load(skb, p, &image))
		return -1;
	options_find(&image, &found);
	if (!found.sack)
		return 0;
	if (found.sack & 1 || bpf_skb_load_bytes(skb, p->l4 + found.sack, option, sizeof(option)))
		return -1;
	edges = (option[1] - 2U) / 4;
	for (__u32 i = 0; i < 8 && i < edges; i++) {
		__u32 field = found.sack + 2 + i * 4;
		__be32 edge;

		if (bpf_skb_load_bytes(skb, p->l4 + field, &edge, sizeof(edge)) ||
		    edit32(skb, p, field, bpf_ntohl(edge), bpf_ntohl(edge) + by))
			return -1;
	}
	return 0;
}

/* Nothing but timestamps: what nearly all packets have. */
static __always_inline bool has_sack(struct __sk_buff *skb, const struct packet *p)
{
	__u32 len = packet_options(p), head = 0;

	if (!len)
		return false;
	if (len != 12)
		return true;
	return bpf_skb_load_bytes(skb, p->l4 + TCP_MIN, &head, sizeof(head)) ||
	       head != bpf_htonl(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_TIMESTAMP << 8 |
				 TIMESTAMP_LEN);
}

static __always_inline long out_open(struct __sk_buff *skb, const struct packet *p,
				     struct up_flow *flow, __u32 header_len)
{
	long err = 0;

	flow_saw_out(p, flow);
	if (!flow->acked_up && !(p->flags & TCP_RST) && skb->tc_index != OWN_PACKET)
		learn_host(skb, p, flow);
	if (!header_len || (p->flags & (TCP_SYN | TCP_ACK)) != TCP_ACK)
		return 0; /* a SYN-ACK acknowledges the SYN alone */
	if (has_sack(skb, p))
		err = shift_sack(skb, p, header_len);
	return err ? err : edit32(skb, p, TCP_OFF_ACK, p->ack, p->ack + header_len);
}

/*
 * The host repeats its SYN-ACK to a sender that was refused by the timer: as a RST, it tells
 * the sender. Turned round it is one to the host, too, by way of in_refused(): or the next
 * connection from that port would meet what is left of this one.
 */
static __noinline long out_refused(struct __sk_buff *skb, const struct packet *p,
				   struct up_flow *flow)
{
	struct tcp_image image = { 0 };
	struct tcphdr *tcp = image_head(&image);
	int state;
	long err;

	if (!(p->flags & TCP_SYN))
		return 0;
	if (!image_load(skb, p, &image))
		return -1;
	state = checksum_state(skb, p);
	tcp->source = bpf_htons(p->key.remote_port);
	tcp->dest = bpf_htons(p->key.local_port);
	tcp->window = 0;
	image.bytes[TCP_OFF_FLAGS] = TCP_RST;
	err = packet_turn(skb, p);
	if (!err)
		err = image_seal(skb, p, &image, state);
	if (!err)
		err = bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	if (!err)
		err = packet_turn(skb, p);
	if (err)
		return err;
	tcp->source = bpf_htons(flow->app_port);
	tcp->dest = bpf_htons(p->key.remote_port);
	tcp->seq = bpf_htonl(p->seq + 1);
	tcp->ack_seq = bpf_htonl(flow->seq_start + flow->got);
	image.bytes[TCP_OFF_FLAGS] = TCP_RST | TCP_ACK;
	FLOW_STAT(resets_sent);
	return image_seal(skb, p, &image, state);
}

#endif
