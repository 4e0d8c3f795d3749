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

#include "inline_out.bpf.h"
#include "inline_syn.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PACKET_HOST 0 /* include/uapi/linux/if_packet.h */

/* A packet of no flow. What is older than the engine passes; what would open a connection
 * past it (a syncookie's last step) does not. */
static __noinline int in_stranger(struct __sk_buff *skb, struct packet *p)
{
	struct up_listen *listen;

	if (p->flags & TCP_RST || !(p->flags & TCP_ACK))
		return PASS;
	listen = listener_of(skb, p);
	if (!listen || listen->app_port != p->key.local_port ||
	    has_socket(skb, &p->key, p->key.local_port) ||
	    (listen->options & (UP_FLOW_PASS_OTHERS | UP_FLOW_DRAINING)) == UP_FLOW_PASS_OTHERS)
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
 * seen here may have it in another namespace (a container's), and lives for long. */
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
	if (!(flow->marks & UP_FLOW_LOCAL) && !flow_is_abandoned(flow))
		return 0;
	FLOW_STAT(collected);
	flow_end(&key, flow, UP_END_GONE);
	return 1;
}

/* As up_sweep: the flow ends because somebody said so. The daemon resets its socket. */
SEC("tc")
int up_kill(struct __sk_buff *skb)
{
	struct up_flow_key key = {};
	struct up_flow *flow;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &key, sizeof(key)))
		return -1;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || flow_state(flow_word(flow)) != UP_FLOW_OPEN || flow->marks & UP_FLOW_ENDED)
		return 0;
	flow_end(&key, flow, UP_END_KILLED);
	return 1;
}
