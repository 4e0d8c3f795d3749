/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The header's phase of a flow, from the SYN-ACK on: hold back what would open the connection
 * too early, put the header together, judge it, cut it out.
 */
#ifndef INLINE_HEADER_BPF_H
#define INLINE_HEADER_BPF_H

#include "inline_reply.bpf.h"

/* No header begins like the stream at hand once so many bytes do not. */
#define SIGNATURE_MAX 12

/* A segment while the header is being put together. */
struct piece {
	struct up_flow *flow;
	struct header_buffer *buffer;
	__u32 old;   /* bytes at its front that we have */
	__u32 fresh; /* bytes taken over into the buffer */
	__u32 have;  /* bytes of the stream in the buffer, with these */
};

/* The answer to a packet of a refused flow: RST to both sides. The app's host is told each time:
 * the timer, which may have refused it, has no packet to tell it by. */
static __noinline int pass_refused(struct __sk_buff *skb, struct packet *p, struct up_flow *flow)
{
	struct reply reply = reply_reset(p);
	struct reply inward = { .seq = flow->seq_start, .flags = TCP_RST };

	if (p->flags & TCP_RST)
		reply.flags = 0;
	else if (flow->reason == UP_REASON_EMPTY) /* a health check closes in peace */
		reply.flags = p->flags & TCP_FIN ? TCP_FIN | TCP_ACK : 0;
	return reply_and_pass(skb, p, flow, &reply, &inward);
}

/* The app never sees the connection. */
static __always_inline int header_refuse(struct __sk_buff *skb, struct packet *p,
					 struct up_flow *flow, __u16 reason)
{
	flow_refuse(&p->key, flow, reason);
	return pass_refused(skb, p, flow);
}

/* What came after the refusal. */
static __always_inline int in_refused(struct __sk_buff *skb, struct packet *p, struct up_flow *flow)
{
	return packet_verified(skb, p) ? pass_refused(skb, p, flow) : DROP;
}

static __always_inline int ack_kept(struct __sk_buff *skb, struct packet *p, struct up_flow *flow)
{
	struct reply reply = { .seq = p->ack,
			       .ack = flow->seq_start + flow->got,
			       .flags = TCP_ACK };

	return reply_only(skb, p, flow, &reply);
}

/*
 * The header's last byte is the packet's last: as a bare acknowledgement it completes the
 * handshake of the app's host, which answers nothing to it; so the header is acknowledged by
 * us, or the sender would repeat it for minutes. A FIN is answered by the host.
 */
static __noinline int pass_header_only(struct __sk_buff *skb, struct packet *p,
				       struct up_flow *flow)
{
	struct reply reply = { .seq = p->ack, .ack = flow->seq_start, .flags = TCP_ACK };
	struct reply inward = { .seq = flow->seq_start,
				.flags = p->flags & (TCP_ACK | TCP_FIN | TCP_PSH) };

	if (p->flags & TCP_FIN)
		reply.flags = 0;
	return reply_and_pass(skb, p, flow, &reply, &inward);
}

/* Cut the header's bytes out of a packet that begins inside it. The flow is open. */
static __noinline int pass_behind_header(struct __sk_buff *skb, struct packet *p,
					 struct up_flow *flow)
{
	__u32 header_end = flow->seq_start + flow_header_len(flow_word(flow));
	struct cut cut = { .bytes = header_end - p->seq,
			   .seq = flow->seq_start,
			   .port = flow->app_port };

	if (cut.bytes > p->len) /* the stream goes on: there can be no FIN yet */
		p->flags &= ~TCP_FIN;
	flow_saw_in(p, flow, flow->seq_start, cut.bytes < p->len ? p->len - cut.bytes : 0);
	if (cut.bytes >= p->len)
		return pass_header_only(skb, p, flow);
	cut.state = checksum_state(skb, p);
	if (!cut_front(skb, p, &cut))
		return PASS;
	FLOW_STAT(failed);
	return DROP;
}

/* The event carries the header: the daemon's log has its TLVs. */
static __always_inline void event_open(const struct packet *p, const struct piece *piece)
{
	struct header_buffer *buffer = piece->buffer;
	struct up_flow_event *event = &buffer->event;
	const struct up_header *header = &buffer->parser.out;
	__u32 len = header->len;

	event_fill(event, UP_EVENT_OPEN, &p->key, piece->flow);
	event->destination = header->dst;
	event->tlv_at = header->tlv_at;
	event->tlv_len = header->tlv_len;
	asm volatile("" : "+r"(len));
	if (len > UP_INLINE_HEADER_MAX)
		return;
	if (bpf_ringbuf_output(&flow_events, event, sizeof(*event) + len, 0))
		FLOW_STAT(events_lost);
}

static __always_inline int header_complete(struct __sk_buff *skb, struct packet *p,
					   const struct piece *piece)
{
	const struct up_header *header = &piece->buffer->parser.out;
	struct up_flow *flow = piece->flow;

	if (header->has_addr)
		flow->client = header->src;
	flow->version = header->version;
	flow->command = header->command;
	/* A header that names nobody is the balancer's own: its health checks are not a client's. */
	if (header->has_addr && is_denied(header->src.ip))
		return header_refuse(skb, p, flow, UP_REASON_DENIED);
	flow->opened_ns = bpf_ktime_get_ns();
	if (!flow_change(flow, FLOW_WORD(UP_FLOW_HEADER, 0), FLOW_WORD(UP_FLOW_OPEN, header->len)))
		return pass_refused(skb, p, flow); /* its time was over meanwhile */
	FLOW_STAT(opened);
	event_open(p, piece);
	partial_forget(&p->key, flow);
	return pass_behind_header(skb, p, flow);
}

/* Bytes that we have acknowledged are the stream's after all: they go on as a packet of their
 * own, and the sender repeats the rest of the one at hand. */
static __noinline int pass_kept(struct __sk_buff *skb, struct packet *p, struct up_flow *flow,
				const struct header_buffer *buffer)
{
	struct tcp_image image = { 0 };
	__u32 len = flow->got, sum;
	__u8 kept[16] = { 0 };

	asm volatile("" : "+r"(len));
	if (len == 0 || len > SIGNATURE_MAX)
		goto failed;
	__builtin_memcpy(kept, buffer->bytes, SIGNATURE_MAX);
	for (__u32 i = 0; i < SIGNATURE_MAX; i++)
		if (i >= len)
			kept[i] = 0;
	if (bpf_skb_change_tail(skb, p->data + len, 0) || !image_load(skb, p, &image) ||
	    bpf_skb_store_bytes(skb, p->data, kept, len, 0))
		goto failed;
	image_head(&image)->seq = bpf_htonl(flow->seq_start);
	image_head(&image)->dest = bpf_htons(flow->app_port);
	image_head(&image)->urg_ptr = 0;
	image.bytes[TCP_OFF_FLAGS] = TCP_ACK | TCP_PSH;
	image_head(&image)->check = 0;
	sum = sum_pseudo(p, image.len + len);
	if (checksum_state(skb, p) != CSUM_PARTIAL)
		sum = ~sum_add(sum_add(sum, image_sum(&image)),
			       bpf_csum_diff(NULL, 0, (__be32 *)kept, sizeof(kept), 0));
	image_head(&image)->check = sum_fold(sum);
	if (image_store(skb, &image, p->l4, 0) || set_ip_len(skb, p, p->data - p->net + len))
		goto failed;
	return PASS;
failed:
	FLOW_STAT(failed);
	return DROP;
}

/* There is no header, and there need be none. */
static __always_inline int header_absent(struct __sk_buff *skb, struct packet *p,
					 const struct piece *piece)
{
	struct up_flow *flow = piece->flow;
	int verdict = PASS;

	if (is_denied(p->key.remote_ip))
		return header_refuse(skb, p, flow, UP_REASON_DENIED);
	flow->opened_ns = bpf_ktime_get_ns();
	if (!flow_change(flow, FLOW_WORD(UP_FLOW_HEADER, 0), FLOW_WORD(UP_FLOW_OPEN, 0)))
		return pass_refused(skb, p, flow);
	FLOW_STAT(plain);
	event_send(UP_EVENT_OPEN, &p->key, flow);
	if (flow->got)
		verdict = pass_kept(skb, p, flow, piece->buffer);
	else if (edit_port(skb, p, TCP_OFF_DPORT, p->key.local_port, flow->app_port))
		verdict = DROP;
	partial_forget(&p->key, flow);
	return verdict;
}

/* Not whole yet: keep what there is, and acknowledge it. */
static __always_inline int header_keep(struct __sk_buff *skb, struct packet *p,
				       const struct piece *piece)
{
	struct up_flow *flow = piece->flow;

	if (p->flags & TCP_FIN && piece->old + piece->fresh == p->len)
		return header_refuse(skb, p, flow,
				     piece->have ? UP_REASON_TRUNCATED : UP_REASON_EMPTY);
	if (!flow->got && bpf_map_update_elem(&partials, &p->key, piece->buffer, BPF_ANY)) {
		FLOW_STAT(failed); /* no memory: the sender repeats it */
		return DROP;
	}
	flow->got = piece->have;
	FLOW_STAT(parts);
	return ack_kept(skb, p, flow);
}

/* Take the segment's fresh bytes over, and parse all there are. Negative: unreadable. */
static __noinline int piece_parse(struct __sk_buff *skb, const struct packet *p,
				  struct piece *piece)
{
	struct header_buffer *buffer = piece->buffer;
	struct up_flow *flow = piece->flow;
	__u32 at = flow->got, n = p->len - piece->old;
	struct up_cursor cursor;

	if (n > UP_INLINE_TAKE)
		n = UP_INLINE_TAKE;
	piece->fresh = n;
	asm volatile("" : "+r"(n));
	asm volatile("" : "+r"(at));
	at &= UP_KERN_HEADER_MAX - 1;
	if (n > UP_INLINE_TAKE)
		return -1;
	if (n && bpf_skb_load_bytes(skb, p->data + piece->old, buffer->bytes + at, n))
		return -1;
	piece->have = at + n;
	__builtin_memset(&buffer->parser, 0, sizeof(buffer->parser));
	buffer->parser.len = at + n;
	buffer->parser.max_len = flow->header_max;
	if (flow->options & UP_FLOW_V4_IN_TCP6)
		buffer->parser.flags = UP_HEADER_V1_IPV4_IN_TCP6;
	cursor.buf = buffer->bytes;
	cursor.parser = &buffer->parser;
	return up_header_run(&cursor);
}

/* A segment with payload or FIN, while no other CPU is at this flow. */
static __noinline int header_segment(struct __sk_buff *skb, struct packet *p, struct up_flow *flow)
{
	struct header_scratch *scratch = scratch_get();
	struct piece piece = { .flow = flow };

	if (!scratch || !packet_verified(skb, p))
		return DROP;
	piece.old = flow->seq_start + flow->got - p->seq;
	if (piece.old > flow->got) { /* a gap before it: says so, for a fast retransmission */
		FLOW_STAT(out_of_order);
		return ack_kept(skb, p, flow);
	}
	if (piece.old > p->len || (piece.old == p->len && !(p->flags & TCP_FIN))) {
		FLOW_STAT(header_repeats);
		return ack_kept(skb, p, flow);
	}
	piece.buffer = flow->got ? bpf_map_lookup_elem(&partials, &p->key) : &scratch->header;
	if (!piece.buffer)
		return header_refuse(skb, p, flow, UP_REASON_NO_RESOURCES);
	switch (piece_parse(skb, p, &piece)) {
	case UP_HEADER_COMPLETE:
		return header_complete(skb, p, &piece);
	case UP_HEADER_INCOMPLETE:
		return header_keep(skb, p, &piece);
	case UP_HEADER_INVALID:
		if (flow->options & UP_FLOW_OPTIONAL &&
		    piece.buffer->parser.out.reason == UP_REASON_NO_HEADER)
			return header_absent(skb, p, &piece);
		/* What it looks like, for the log. */
		__builtin_memcpy(flow->first.bytes, piece.buffer->bytes, sizeof(flow->first.bytes));
		flow->first.count = piece.have;
		return header_refuse(skb, p, flow, piece.buffer->parser.out.reason);
	default:
		FLOW_STAT(failed);
		return DROP;
	}
}

/* What a half-open connection takes at most: rcv_wnd is not scaled yet. */
#define HALF_OPEN_WINDOW 65535

/* The sender gives up. Its RST may stand anywhere in the window, as for the host
 * (tcp_check_req()). What goes on is a packet with a checksum of ours, so it must have been
 * right before. */
static __always_inline int header_reset(struct __sk_buff *skb, struct packet *p,
					struct up_flow *flow)
{
	/* The host has not taken this connection: it is an older one of its own that is reset. */
	if (flow_state(flow_word(flow)) == UP_FLOW_SYN)
		return edit_port(skb, p, TCP_OFF_DPORT, p->key.local_port, flow->app_port) ? DROP
											   : PASS;
	if (p->seq - flow->seq_start > flow->got + HALF_OPEN_WINDOW || !packet_verified(skb, p))
		return DROP;
	return header_refuse(skb, p, flow, flow->got ? UP_REASON_RESET : UP_REASON_EMPTY);
}

/* A packet of a flow whose header is not whole. */
static __always_inline int in_header(struct __sk_buff *skb, struct packet *p, struct up_flow *flow)
{
	int verdict;

	flow_need_timer(flow);
	if (p->flags & TCP_RST)
		return header_reset(skb, p, flow);
	/* Whoever does not know the SYN-ACK's number is not at the address it gives. */
	if (!(p->flags & TCP_ACK) || p->ack != flow->down_start ||
	    flow_state(flow_word(flow)) == UP_FLOW_SYN) {
		FLOW_STAT(out_of_order);
		return DROP;
	}
	flow_mark(flow, UP_FLOW_HEARD);
	if (!p->len && !(p->flags & TCP_FIN)) {
		FLOW_STAT(acks_held);
		return DROP;
	}
	if (__sync_val_compare_and_swap(&flow->busy, 0, 1)) {
		FLOW_STAT(busy);
		return DROP;
	}
	verdict = flow_state(flow_word(flow)) == UP_FLOW_HEADER ? header_segment(skb, p, flow)
								: DROP;
	__sync_lock_test_and_set(&flow->busy, 0);
	return verdict;
}

#endif
