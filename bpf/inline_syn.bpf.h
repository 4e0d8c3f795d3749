/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * How a flow begins: whose port is it, may the sender speak for clients, and what of its SYN
 * may the app's host see.
 */
#ifndef INLINE_SYN_BPF_H
#define INLINE_SYN_BPF_H

#include "inline_header.bpf.h"

#define AF_INET 2
#define AF_INET6 10
#define LOOPBACK_IFINDEX 1 /* include/net/flow.h */

/* A listener without an address means this host's. Where forwarding is off, what is not local
 * goes nowhere. */
__noinline bool is_local(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_fib_lookup fib = { .ifindex = skb->ifindex, .l4_protocol = IPPROTO_TCP };
	long answer;

	if (!p)
		return false;
	if (skb->ifindex == LOOPBACK_IFINDEX)
		return true;
	if (p->version == 4) {
		fib.family = AF_INET;
		__builtin_memcpy(&fib.ipv4_src, p->key.remote_ip + 12, 4);
		__builtin_memcpy(&fib.ipv4_dst, p->key.local_ip + 12, 4);
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, p->key.remote_ip, 16);
		__builtin_memcpy(fib.ipv6_dst, p->key.local_ip, 16);
	}
	answer = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	return answer == BPF_FIB_LKUP_RET_NOT_FWDED || answer == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

static __noinline struct up_listen *listener_of(struct __sk_buff *skb, const struct packet *p)
{
	struct up_listen_key key = { .port = p->key.local_port };
	struct up_listen *listen;

	__builtin_memcpy(key.ip, p->key.local_ip, sizeof(key.ip));
	listen = bpf_map_lookup_elem(&listeners, &key);
	if (listen)
		return listen;
	__builtin_memset(key.ip, 0, sizeof(key.ip));
	listen = bpf_map_lookup_elem(&listeners, &key);
	return listen && is_local(skb, p) ? listen : NULL;
}

static __noinline bool is_trusted(const struct packet *p, const struct up_listen *listen)
{
	struct up_trust_key key = { .prefix_len = 32 + 128, .listener = listen->id };

	__builtin_memcpy(key.ip, p->key.remote_ip, sizeof(key.ip));
	return bpf_map_lookup_elem(&trust, &key) != NULL;
}

/* An answer to a SYN, or to whoever has no flow: RST. */
static __noinline int reset_sender(struct __sk_buff *skb, struct packet *p)
{
	struct reply reply = reply_reset(p);

	return reply_only(skb, p, NULL, &reply);
}

/* On its own, for its stack. */
static __noinline void event_stranger(const struct packet *p, const struct up_listen *listen,
				      __u16 reason)
{
	struct up_flow nobody = { .listener = listen->id,
				  .created_ns = bpf_ktime_get_ns(),
				  .reason = reason };

	event_send(UP_EVENT_REFUSED, &p->key, &nobody);
}

static __always_inline int syn_refused(struct __sk_buff *skb, struct packet *p,
				       const struct up_listen *listen, __u16 reason)
{
	FLOW_STAT(refused);
	event_stranger(p, listen, reason);
	return reset_sender(skb, p);
}

static __always_inline int syn_untrusted(struct __sk_buff *skb, struct packet *p,
					 const struct up_listen *listen)
{
	if (listen->options & UP_FLOW_PASS_OTHERS)
		return is_denied(p->key.remote_ip) ? syn_refused(skb, p, listen, UP_REASON_DENIED)
						   : PASS;
	FLOW_STAT(untrusted);
	event_stranger(p, listen, UP_REASON_UNTRUSTED);
	return reset_sender(skb, p);
}

/* Offers that cannot pass through a cut: TCP Fast Open (data before the handshake) and MPTCP
 * (a checksum over the stream). The app's host then knows nothing of them. Bounded: a SYN
 * with a fourth one is dropped. */
#define UNWANTED_MAX 3

__noinline long syn_drop_option(struct __sk_buff *skb, const struct packet *p, __u32 at)
{
	static const __u8 nops[40] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
				       1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	__u8 option[2];
	__u32 len;

	if (!p || bpf_skb_load_bytes(skb, p->l4 + at, option, sizeof(option)))
		return -1;
	len = option[1];
	asm volatile("" : "+r"(len));
	if (len == 0 || len > sizeof(nops))
		return -1;
	return bpf_skb_store_bytes(skb, p->l4 + at, nops, len, BPF_F_RECOMPUTE_CSUM);
}

/* What it must not offer: NOPs in its place. */
static __always_inline long syn_drop_offers(struct __sk_buff *skb, const struct packet *p,
					    struct tcp_image *image, struct tcp_options *found)
{
	for (int i = 0; i < UNWANTED_MAX && found->unwanted; i++) {
		if (syn_drop_option(skb, p, found->unwanted) || !image_load(skb, p, image))
			return -1;
		options_find(image, found);
	}
	return found->unwanted ? -1 : 0;
}

/* The SYN as the app's host may see it: no data, no such offers. */
__noinline long syn_clean(struct __sk_buff *skb, struct packet *p)
{
	struct tcp_image image = { 0 };
	struct tcp_options found;
	bool verified;

	if (!p || trim_padding(skb, p) || !image_load(skb, p, &image))
		return -1;
	options_find(&image, &found);
	if (!p->len && !found.unwanted)
		return 0;
	verified = csum_verified(skb, p, checksum_state(skb, p));
	if (p->len && drop_payload(skb, p))
		return -1;
	if (syn_drop_offers(skb, p, &image, &found))
		return -1;
	return verified ? image_seal(skb, p, &image, checksum_state(skb, p)) : -1;
}

static __noinline int syn_pass(struct __sk_buff *skb, struct packet *p, const struct up_flow *flow)
{
	if (!syn_clean(skb, p) &&
	    !edit_port(skb, p, TCP_OFF_DPORT, p->key.local_port, flow->app_port))
		return PASS;
	FLOW_STAT(failed);
	return DROP;
}

/* Has the app's host a connection, of its own point of view, that is not over? */
__noinline bool has_socket(struct __sk_buff *skb, const struct up_flow_key *key, __u16 app_port)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	__u32 state;

	if (!key)
		return false;
	if (is_mapped(key->local_ip)) {
		__builtin_memcpy(&tuple.ipv4.saddr, key->remote_ip + 12, 4);
		__builtin_memcpy(&tuple.ipv4.daddr, key->local_ip + 12, 4);
		tuple.ipv4.sport = bpf_htons(key->remote_port);
		tuple.ipv4.dport = bpf_htons(app_port);
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, key->remote_ip, 16);
		__builtin_memcpy(tuple.ipv6.daddr, key->local_ip, 16);
		tuple.ipv6.sport = bpf_htons(key->remote_port);
		tuple.ipv6.dport = bpf_htons(app_port);
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return false;
	state = sk->state;
	bpf_sk_release(sk);
	return state != BPF_TCP_LISTEN && state != BPF_TCP_TIME_WAIT &&
	       state != BPF_TCP_NEW_SYN_RECV && state != BPF_TCP_CLOSE;
}

/* A SYN where there is a flow: a repetition, or a new connection from the same port. */
static __always_inline bool syn_replaces(struct __sk_buff *skb, const struct packet *p,
					 const struct up_flow *flow)
{
	switch (flow_state(flow_word(flow))) {
	case UP_FLOW_SYN:
	case UP_FLOW_REFUSED:
		return p->seq + 1 != flow->seq_start;
	case UP_FLOW_HEADER:
		return false; /* the host's answer says which of the two it has taken */
	default:
		return p->seq + 1 != flow->seq_start && !has_socket(skb, &p->key, flow->app_port);
	}
}

/* A SYN of the flow's own, or one that its socket has to judge. */
static __always_inline int syn_again(struct __sk_buff *skb, struct packet *p, struct up_flow *flow)
{
	__u32 state = flow_state(flow_word(flow));

	if (state == UP_FLOW_REFUSED)
		return in_refused(skb, p, flow);
	if (state == UP_FLOW_HEADER && p->seq + 1 != flow->seq_start)
		flow_mark(flow, UP_FLOW_CHALLENGED);
	return syn_pass(skb, p, flow);
}

static __noinline int in_syn(struct __sk_buff *skb, struct packet *p, struct up_flow *flow)
{
	struct up_listen *listen;

	if (flow) {
		if (!syn_replaces(skb, p, flow))
			return syn_again(skb, p, flow);
		if (flow_state(flow_word(flow)) == UP_FLOW_OPEN)
			flow_end(&p->key, flow, UP_END_REUSED);
		flow_forget(&p->key, flow);
	}
	listen = listener_of(skb, p);
	if (!listen)
		return PASS;
	if (listen->options & UP_FLOW_DRAINING)
		return syn_refused(skb, p, listen, UP_REASON_DRAINING);
	if (!is_trusted(p, listen))
		return syn_untrusted(skb, p, listen);
	flow = flow_new(p, listen);
	if (!flow) {
		FLOW_STAT(table_full);
		return DROP;
	}
	FLOW_STAT(syns);
	return syn_pass(skb, p, flow);
}

#endif
