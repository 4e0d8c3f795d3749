/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The life of a flow: made at the SYN, opened or refused at the header, ended by FINs or RST,
 * forgotten after a linger. No packet is touched here.
 */
#ifndef INLINE_FLOW_BPF_H
#define INLINE_FLOW_BPF_H

#include "inline_deny.bpf.h"
#include "inline_packet.bpf.h"

#define CLOCK_MONOTONIC 1 /* include/uapi/linux/time.h */

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

/* As long as a socket of the app's host can be in TIME_WAIT: TCP_TIMEWAIT_LEN. */
#define LINGER_NS (60 * NS_PER_S)

#define FLOW_WORD(state, header_len) ((__u32)(state) | (__u32)(header_len) << 16)

static __always_inline __u32 flow_state(__u32 word)
{
	return word & 0xFFFF;
}

static __always_inline __u32 flow_header_len(__u32 word)
{
	return word >> 16;
}

/* State and length as one: either both are those of before, or both those of after. */
static __always_inline __u32 flow_word(const struct up_flow *flow)
{
	return *(const volatile __u32 *)&flow->state;
}

static __always_inline bool flow_change(struct up_flow *flow, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap((__u32 *)&flow->state, from, to) == from;
}

/*
 * Events.
 */

static __always_inline void event_fill(struct up_flow_event *event, __u32 kind,
				       const struct up_flow_key *key, const struct up_flow *flow)
{
	__u32 word = flow_word(flow);

	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->listener = flow->listener;
	event->key = *key;
	event->now_ns = bpf_ktime_get_ns();
	event->created_ns = flow->created_ns;
	event->opened_ns = flow->opened_ns;
	event->bytes_up = flow->acked_up;
	event->bytes_down = flow->acked_down;
	if (flow->marks & UP_FLOW_FIN_UP_ACKED && event->bytes_up)
		event->bytes_up--;
	if (flow->marks & UP_FLOW_FIN_DOWN_ACKED && event->bytes_down)
		event->bytes_down--;
	event->client = flow->client;
	if (flow_state(word) == UP_FLOW_OPEN)
		event->header_len = flow_header_len(word);
	event->reason = flow->reason;
	event->end = flow->end;
	event->version = flow->version;
	event->command = flow->command;
	event->has_addr = flow->client.family != UP_FAMILY_NONE;
}

/* An event without a header behind it. */
static __noinline void event_send(__u32 kind, const struct up_flow_key *key, struct up_flow *flow)
{
	struct up_flow_event *event = bpf_ringbuf_reserve(&flow_events, sizeof(*event), 0);

	if (!event) {
		FLOW_STAT(events_lost);
		return;
	}
	event_fill(event, kind, key, flow);
	bpf_ringbuf_submit(event, 0);
}

/*
 * Beginning and end.
 */

/* The port that the app's host knows the flow by. False: no place, or the app's port is taken
 * by a connection that came to another of our ports from the same one. */
static __always_inline bool alias_new(const struct up_flow_key *key, __u16 app_port)
{
	struct up_flow_key alias = *key;
	__u32 wire = key->local_port;

	alias.local_port = app_port;
	return app_port == wire || !bpf_map_update_elem(&aliases, &alias, &wire, BPF_NOEXIST);
}

static __always_inline void alias_forget(const struct up_flow_key *key, __u16 app_port)
{
	struct up_flow_key alias = *key;

	if (app_port == key->local_port)
		return;
	alias.local_port = app_port;
	bpf_map_delete_elem(&aliases, &alias);
}

/* Most headers come whole. */
static __always_inline void partial_forget(const struct up_flow_key *key,
					   const struct up_flow *flow)
{
	if (flow->got)
		bpf_map_delete_elem(&partials, key);
}

static __always_inline void flow_forget(const struct up_flow_key *key, struct up_flow *flow)
{
	alias_forget(key, flow->app_port);
	partial_forget(key, flow);
	bpf_map_delete_elem(&flows, key);
}

static int flow_timer(void *map, struct up_flow_key *key, struct up_flow *flow);

/* Have flow_timer() called in so long. The kernel may have no memory for a timer at hand, in a
 * context that cannot wait for it (kmalloc_nolock(): seen once in a hundred flows): whoever
 * comes to the flow next tries again. */
static __always_inline void flow_wake_in(struct up_flow *flow, __u64 ns)
{
	if (!(flow->marks & UP_FLOW_TIMED)) {
		if (bpf_timer_init(&flow->timer, &flows, CLOCK_MONOTONIC))
			return;
		bpf_timer_set_callback(&flow->timer, flow_timer);
		__sync_fetch_and_or(&flow->marks, UP_FLOW_TIMED);
	}
	bpf_timer_start(&flow->timer, ns, 0);
}

/* A timer for whom there was none: for what is left of the header's time, or at once. */
static __always_inline void flow_need_timer(struct up_flow *flow)
{
	__u64 now;

	if (flow->marks & UP_FLOW_TIMED)
		return;
	now = bpf_ktime_get_ns();
	flow_wake_in(flow, flow->deadline_ns > now ? flow->deadline_ns - now : 0);
}

/* The app never sees the connection, if the flow has not gone on meanwhile. Also called from
 * the timer, where a callback must not be set: its loop has no end to the verifier. */
static __always_inline void flow_refuse(const struct up_flow_key *key, struct up_flow *flow,
					__u16 reason)
{
	__u32 word = flow_word(flow);

	if (flow_state(word) >= UP_FLOW_OPEN)
		return;
	flow->reason = reason;
	if (!flow_change(flow, word, FLOW_WORD(UP_FLOW_REFUSED, 0)))
		return;
	partial_forget(key, flow);
	FLOW_STAT(refused);
	event_send(UP_EVENT_REFUSED, key, flow);
	bpf_timer_start(&flow->timer, LINGER_NS, 0);
}

/* The header's timer is still to come, and soon enough: it will see to the linger, too. Most
 * connections are shorter than that, and starting a timer costs as much as a packet. */
static __always_inline bool timer_will_come(const struct up_flow *flow, __u32 marks)
{
	return marks & UP_FLOW_TIMED && !(marks & UP_FLOW_TIMER_DONE) &&
	       flow->deadline_ns - flow->created_ns <= LINGER_NS;
}

/* Over, for reason `end`: told once. Packets are translated until the linger is over. */
static __always_inline void flow_end(const struct up_flow_key *key, struct up_flow *flow, __u8 end)
{
	__u32 marks = __sync_fetch_and_or(&flow->marks, UP_FLOW_ENDED);

	if (marks & UP_FLOW_ENDED)
		return;
	flow->end = end;
	FLOW_STAT(ended);
	event_send(UP_EVENT_END, key, flow);
	if (!timer_will_come(flow, marks))
		flow_wake_in(flow, LINGER_NS);
}

/* The host did not believe the sender's RST, which was not where it had to be (RFC 5961): the
 * connection lives, and will be told to end once more. */
static __always_inline void flow_unend(struct up_flow *flow)
{
	flow->end = UP_END_NONE;
	__sync_fetch_and_and(&flow->marks, ~UP_FLOW_ENDED);
}

/* Nobody sent a header. Where it is optional and nothing came at all, the app gets the
 * connection as it is, as soon as the sender repeats its acknowledgement. Gives back `busy`. */
static __always_inline void header_late(const struct up_flow_key *key, struct up_flow *flow)
{
	__u32 word = flow_word(flow);

	if (!(flow->marks & UP_FLOW_HEARD)) { /* nobody there: nobody to be told later on */
		flow_refuse(key, flow, UP_REASON_TIMEOUT);
		flow_forget(key, flow);
		return;
	}
	if (!(flow->options & UP_FLOW_OPTIONAL) || flow->got) {
		flow_refuse(key, flow, UP_REASON_TIMEOUT);
	} else if (is_denied(key->remote_ip)) {
		flow_refuse(key, flow, UP_REASON_DENIED);
	} else if (flow_change(flow, word, FLOW_WORD(UP_FLOW_OPEN, 0))) {
		flow->opened_ns = bpf_ktime_get_ns();
		FLOW_STAT(plain);
		event_send(UP_EVENT_OPEN, key, flow);
	}
	__sync_lock_test_and_set(&flow->busy, 0);
}

static int flow_timer(void *map, struct up_flow_key *key, struct up_flow *flow)
{
	__u32 state = flow_state(flow_word(flow));
	__u64 silent;

	if (state < UP_FLOW_OPEN) {
		/* Not while a part of the header is put to the others. */
		if (__sync_val_compare_and_swap(&flow->busy, 0, 1))
			bpf_timer_start(&flow->timer, NS_PER_MS, 0);
		else
			header_late(key, flow);
		return 0;
	}
	/* The header came in time. One step, and one in flow_end(): either it sees that nobody
	 * will come for the flow, or the end is seen here. */
	if (state == UP_FLOW_OPEN &&
	    !(__sync_fetch_and_or(&flow->marks, UP_FLOW_TIMER_DONE) & UP_FLOW_ENDED))
		return 0;
	/* What looked like the end was none, or repeats itself: no timer may cut a flow. */
	silent = bpf_ktime_get_coarse_ns() - flow->seen_ns;
	if (silent + NS_PER_S < LINGER_NS)
		bpf_timer_start(&flow->timer, LINGER_NS - silent, 0);
	else
		flow_forget(key, flow);
	return 0;
}

/* A flow for the SYN at hand. NULL: no place. */
static __noinline struct up_flow *flow_new(const struct packet *p, const struct up_listen *listen)
{
	__u64 now = bpf_ktime_get_ns();
	struct up_flow fresh = {
		.seq_start = p->seq + 1,
		.header_max = listen->header_max,
		.app_port = listen->app_port,
		.listener = listen->id,
		.created_ns = now,
		.deadline_ns = now + listen->timeout_ms * NS_PER_MS,
		.seen_ns = now,
		.options = listen->options,
	};
	struct up_flow *flow;

	if (!alias_new(&p->key, listen->app_port))
		return NULL;
	if (bpf_map_update_elem(&flows, &p->key, &fresh, BPF_NOEXIST)) {
		alias_forget(&p->key, listen->app_port);
		return NULL;
	}
	flow = bpf_map_lookup_elem(&flows, &p->key);
	if (!flow)
		return NULL;
	flow_wake_in(flow, listen->timeout_ms * NS_PER_MS);
	return flow;
}

/* When the newest packet came, to a second. The clock costs as much as finding the flow: it is
 * looked at once in so many jiffies, which are read for nothing. */
#define TOUCH_JIFFIES 64

static __always_inline void flow_touch(struct up_flow *flow)
{
	__u16 turn = bpf_jiffies64() / TOUCH_JIFFIES;
	__u64 now;

	if (turn == flow->touched)
		return;
	flow->touched = turn;
	now = bpf_ktime_get_coarse_ns();
	if (now - flow->seen_ns > NS_PER_S)
		flow->seen_ns = now;
}

/* Nobody can be asked whether it lives: half closed it may be silent for an hour, open for as
 * long as conntrack takes it for alive (nf_ct_tcp_timeout_established). */
#define HALF_CLOSED_NS (3600 * NS_PER_S)
#define OPEN_NS (5 * 24 * HALF_CLOSED_NS)

static __always_inline bool flow_is_abandoned(const struct up_flow *flow)
{
	__u64 silent = bpf_ktime_get_coarse_ns() - flow->seen_ns;

	return silent >
	       (flow->marks & (UP_FLOW_FIN_UP | UP_FLOW_FIN_DOWN) ? HALF_CLOSED_NS : OPEN_NS);
}

/*
 * How far each side has got, from the other's acknowledgements. Bounded steps: an
 * acknowledgement of what was never sent moves nothing.
 */

#define ACK_STEP_MAX (1U << 30) /* the largest window TCP has */

static __always_inline void acked_advance(__u64 *acked, __u32 start, __u32 ack)
{
	__u32 step = ack - start - (__u32)*acked;

	if (step - 1 < ACK_STEP_MAX)
		*acked += step;
}

static __always_inline bool acked_reaches(__u64 acked, __u32 start, __u32 seq)
{
	return (__s32)(start + (__u32)acked - seq) >= 0;
}

static __always_inline void flow_mark(struct up_flow *flow, __u32 mark)
{
	if (!(flow->marks & mark))
		__sync_fetch_and_or(&flow->marks, mark);
}

#define FINS_ACKED (UP_FLOW_FIN_UP_ACKED | UP_FLOW_FIN_DOWN_ACKED)

/* Have both sides said FIN, and heard that it was heard? */
static __always_inline void flow_check_end(const struct up_flow_key *key, struct up_flow *flow)
{
	if (flow->marks & UP_FLOW_FIN_UP &&
	    acked_reaches(flow->acked_up, flow->seq_start, flow->fin_up))
		flow_mark(flow, UP_FLOW_FIN_UP_ACKED);
	if (flow->marks & UP_FLOW_FIN_DOWN &&
	    acked_reaches(flow->acked_down, flow->down_start, flow->fin_down))
		flow_mark(flow, UP_FLOW_FIN_DOWN_ACKED);
	if ((flow->marks & FINS_ACKED) == FINS_ACKED)
		flow_end(key, flow, flow->end);
}

/* A segment of the client's, in app space: len bytes at seq. */
static __always_inline void flow_saw_in(const struct packet *p, struct up_flow *flow, __u32 seq,
					__u32 len)
{
	flow_touch(flow);
	if (p->flags & TCP_ACK)
		acked_advance(&flow->acked_down, flow->down_start, p->ack);
	if (p->flags & TCP_FIN && !(flow->marks & UP_FLOW_FIN_UP_ACKED)) {
		flow->fin_up = seq + len + 1;
		if (!flow->end)
			flow->end = UP_END_CLIENT_FIN;
		flow_mark(flow, UP_FLOW_FIN_UP);
	}
	if (p->flags & TCP_RST)
		flow_end(&p->key, flow, UP_END_CLIENT_RESET);
	else if (flow->marks & (UP_FLOW_FIN_UP | UP_FLOW_FIN_DOWN))
		flow_check_end(&p->key, flow);
}

/* ack: app space. */
static __always_inline void flow_saw_out(const struct packet *p, struct up_flow *flow)
{
	flow_touch(flow);
	if (flow->marks & UP_FLOW_ENDED && flow->end == UP_END_CLIENT_RESET &&
	    !(p->flags & TCP_RST))
		flow_unend(flow);
	if (p->flags & TCP_ACK)
		acked_advance(&flow->acked_up, flow->seq_start, p->ack);
	if (p->flags & TCP_FIN && !(flow->marks & UP_FLOW_FIN_DOWN_ACKED)) {
		flow->fin_down = p->seq + p->len + 1;
		if (!flow->end)
			flow->end = UP_END_SERVER_FIN;
		flow_mark(flow, UP_FLOW_FIN_DOWN);
	}
	if (p->flags & TCP_RST)
		flow_end(&p->key, flow, UP_END_SERVER_RESET);
	else if (flow->marks & (UP_FLOW_FIN_UP | UP_FLOW_FIN_DOWN))
		flow_check_end(&p->key, flow);
}

#endif
