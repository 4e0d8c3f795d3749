// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The inline engine: takes the PROXY header out of the balancer's own connection to the app.
 * in(): what comes from a balancer; out(): what the app's host answers. Only packets of
 * configured ports are looked at, only those of a flow are changed, and what cannot be
 * changed right is dropped, never passed on.
 *
 * After the header, sequence numbers of the wire are those of the app plus its length:
 * in() subtracts it, out() adds it to what is acknowledged.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "inline_header.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define AF_INET 2
#define AF_INET6 10
#define LOOPBACK_IFINDEX 1 /* include/net/flow.h */
#define PACKET_HOST 0      /* include/uapi/linux/if_packet.h */

/*
 * In: SYNs.
 */

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
	struct reply reply = { .seq = p->flags & TCP_ACK ? p->ack : 0,
			       .ack = p->seq + p->len + !!(p->flags & (TCP_SYN | TCP_FIN)),
			       .flags = TCP_RST | TCP_ACK };

	return reply_only(skb, p, NULL, &reply);
}

/* On its own, for its stack. */
static __noinline void event_untrusted(const struct packet *p, const struct up_listen *listen)
{
	struct up_flow nobody = { .listener = listen->id,
				  .created_ns = bpf_ktime_get_ns(),
				  .reason = UP_REASON_UNTRUSTED };

	event_send(UP_EVENT_REFUSED, &p->key, &nobody);
}

static __always_inline int syn_untrusted(struct __sk_buff *skb, struct packet *p,
					 const struct up_listen *listen)
{
	if (listen->options & UP_FLOW_PASS_OTHERS)
		return PASS;
	FLOW_STAT(untrusted);
	event_untrusted(p, listen);
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

/* The SYN as the app's host may see it: no data, no such offers. */
__noinline long syn_clean(struct __sk_buff *skb, struct packet *p)
{
	struct tcp_image image = { 0 };
	struct tcp_options found;
	bool verified, changed;
	int state;

	if (!p || trim_padding(skb, p))
		return -1;
	changed = p->len > 0;
	verified = csum_verified(skb, p, checksum_state(skb, p));
	if (p->len && drop_payload(skb, p))
		return -1;
	for (int i = 0; i <= UNWANTED_MAX; i++) {
		if (!image_load(skb, p, &image))
			return -1;
		options_find(&image, &found);
		if (!found.unwanted)
			break;
		if (i == UNWANTED_MAX || syn_drop_option(skb, p, found.unwanted))
			return -1;
		changed = true;
	}
	if (!changed)
		return 0;
	state = checksum_state(skb, p);
	return verified ? image_seal(skb, p, &image, state) : -1;
}

static __noinline int syn_pass(struct __sk_buff *skb, struct packet *p, const struct up_flow *flow)
{
	if (!syn_clean(skb, p) &&
	    !edit_port(skb, p, TCP_OFF_DPORT, p->key.local_port, flow->app_port))
		return PASS;
	FLOW_STAT(failed);
	return DROP;
}

static __always_inline bool is_mapped(const __u8 *ip)
{
	const __u32 *words = (const __u32 *)ip;

	return !words[0] && !words[1] && words[2] == bpf_htonl(0xFFFF);
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

/*
 * In: the rest.
 */

/* A packet of no flow. What is older than the engine passes; what would open a connection
 * past it (a syncookie's last step) does not. */
static __noinline int in_stranger(struct __sk_buff *skb, struct packet *p)
{
	struct up_listen *listen;

	if (p->flags & TCP_RST || !(p->flags & TCP_ACK))
		return PASS;
	listen = listener_of(skb, p);
	if (!listen || listen->app_port != p->key.local_port ||
	    has_socket(skb, &p->key, p->key.local_port) || listen->options & UP_FLOW_PASS_OTHERS)
		return PASS;
	return reset_sender(skb, p);
}

static __always_inline int in_open(struct __sk_buff *skb, struct packet *p, struct up_flow *flow,
				   __u32 header_len)
{
	__u32 behind = p->seq - flow->seq_start;

	/* Until the host has acknowledged a byte of the stream it may not even have the
	 * connection, and then it must see one that begins where it expects. Afterwards it
	 * drops by itself what it has, header included, and says so in its own numbers. */
	if (!flow->acked_up && behind < header_len && !(p->flags & TCP_RST)) {
		if (!packet_verified(skb, p))
			return DROP;
		FLOW_STAT(header_repeats);
		return pass_behind_header(skb, p, flow);
	}
	if (p->flags & (TCP_FIN | TCP_RST) && !packet_verified(skb, p))
		return DROP; /* as the host would: no end is believed of a damaged packet */
	flow_saw_in(p, flow, p->seq - header_len, p->len);
	if ((header_len && edit32(skb, p, TCP_OFF_SEQ, p->seq, p->seq - header_len)) ||
	    edit_port(skb, p, TCP_OFF_DPORT, p->key.local_port, flow->app_port)) {
		FLOW_STAT(failed);
		return DROP;
	}
	return PASS;
}

static __always_inline int in(struct __sk_buff *skb, __u32 l2)
{
	struct up_flow *flow;
	struct packet p;
	__u32 word;

	/* What a promiscuous device sees of others' is not for us to answer. */
	if (!packet_may_be_ours(skb, l2, PACKET_IN) || skb->pkt_type != PACKET_HOST)
		return PASS;
	if (!packet_parse(skb, l2, &p, PACKET_IN)) {
		if (!p.hidden)
			return PASS;
		FLOW_STAT(failed); /* no sender needs so many headers, but one that hides */
		return DROP;
	}
	flow = bpf_map_lookup_elem(&flows, &p.key);
	if (p.fragment) {
		FLOW_STAT(fragments);
		return flow || p.flags & TCP_SYN ? DROP : PASS;
	}
	if ((p.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
		return in_syn(skb, &p, flow);
	if (!flow)
		return in_stranger(skb, &p);
	word = flow_word(flow);
	switch (flow_state(word)) {
	case UP_FLOW_OPEN:
		return in_open(skb, &p, flow, flow_header_len(word));
	case UP_FLOW_REFUSED:
		return in_refused(skb, &p, flow);
	default:
		return in_header(skb, &p, flow);
	}
}

/*
 * Out.
 */

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
	if (!flow->got)
		flow->seq_start = p->ack;
	learn_host(skb, p, flow);
	(void)flow_change(flow, FLOW_WORD(UP_FLOW_SYN, 0), FLOW_WORD(UP_FLOW_HEADER, 0));
}

/* What out_handshake() returns of a packet that nobody is to see: no failure. */
#define HELD_BACK 1

static __always_inline long out_handshake(struct __sk_buff *skb, const struct packet *p,
					  struct up_flow *flow)
{
	flow_need_timer(flow);
	if (p->flags & TCP_RST) { /* nobody listens */
		if (flow_state(flow_word(flow)) == UP_FLOW_SYN)
			(void)flow_refuse(&p->key, flow, UP_REASON_NO_BACKEND);
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

static __always_inline int out(struct __sk_buff *skb, __u32 l2)
{
	__u16 app_port;
	struct up_flow *flow;
	struct packet p;
	__u32 word;
	long err = 0;

	if (!packet_may_be_ours(skb, l2, PACKET_OUT) || !packet_parse(skb, l2, &p, PACKET_OUT))
		return PASS;
	app_port = p.key.local_port;
	if (p.role & UP_PORT_MOVED) {
		__u32 *wire = bpf_map_lookup_elem(&aliases, &p.key);

		if (wire)
			p.key.local_port = *wire;
	}
	flow = bpf_map_lookup_elem(&flows, &p.key);
	if (!flow)
		return PASS;
	word = flow_word(flow);
	switch (flow_state(word)) {
	case UP_FLOW_OPEN:
		err = out_open(skb, &p, flow, flow_header_len(word));
		break;
	case UP_FLOW_REFUSED:
		err = out_refused(skb, &p, flow);
		break;
	default:
		err = out_handshake(skb, &p, flow);
	}
	if (err == HELD_BACK) {
		FLOW_STAT(acks_held);
		return DROP;
	}
	if (!err)
		err = edit_port(skb, &p, TCP_OFF_SPORT, app_port, p.key.local_port);
	if (!err)
		return PASS;
	FLOW_STAT(failed);
	return DROP;
}

/*
 * Attached by the daemon: to devices with an Ethernet header (lo has one), and without.
 */

SEC("tc")
int up_in_eth(struct __sk_buff *skb)
{
	return in(skb, ETH_HLEN);
}

SEC("tc")
int up_out_eth(struct __sk_buff *skb)
{
	return out(skb, ETH_HLEN);
}

SEC("tc")
int up_in_l3(struct __sk_buff *skb)
{
	return in(skb, 0);
}

SEC("tc")
int up_out_l3(struct __sk_buff *skb)
{
	return out(skb, 0);
}

/* Run by the daemon, in its network namespace, with a flow's key behind an Ethernet header:
 * is there a socket yet? A flow whose end nobody saw ends here; one whose socket was never
 * seen here has it in another namespace (a container's), and lives. */
SEC("tc")
int up_sweep(struct __sk_buff *skb)
{
	struct up_flow_key key = {};
	struct up_flow *flow;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &key, sizeof(key)))
		return -1;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		return 0;
	flow_need_timer(flow);
	if (flow_state(flow_word(flow)) != UP_FLOW_OPEN || flow->marks & UP_FLOW_ENDED)
		return 0;
	if (has_socket(skb, &key, flow->app_port)) {
		flow_mark(flow, UP_FLOW_LOCAL);
		return 0;
	}
	if (!(flow->marks & UP_FLOW_LOCAL))
		return 0;
	FLOW_STAT(collected);
	flow_end(&key, flow, UP_END_GONE);
	return 1;
}
