// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The relay's verdict: runs on every segment that arrives at a socket in `sources`.
 * Parses the PROXY header of the first one, trims what user space has consumed, sends
 * the rest to the target, and hands the direction back to user space when the target has
 * no room. It never drops a byte that nobody has, and never reorders.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "header.bpf.h"
#include "maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;
extern void *bpf_rdonly_cast(void *obj, __u32 btf_id) __ksym;

/* include/linux/skmsg.h: the low bits of sk_user_data are flags. */
#define SK_USER_DATA_FLAGS 7UL

/* sk_skb_adjust_room() in net/core/filter.c refuses more than this at once. What was queued out
 * of order is one skb for tcp_try_coalesce(), as long as the source's receive buffer allows, and
 * all but its end may have been sent again meanwhile. */
#define TRIM_STEP 4095U
#define TRIM_STEPS (2 * UP_SOURCE_RCVBUF / TRIM_STEP + 1)

static __always_inline struct up_stats *stats_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&stats, &zero);
}

#define STAT_ADD(field, n)                         \
	do {                                       \
		struct up_stats *_s = stats_get(); \
		if (_s)                            \
			_s->field += (n);          \
	} while (0)

/* Tell the daemon that `dir` is its to move now. */
static __always_inline void notify(const struct up_direction *dir, __u32 index, __u32 why)
{
	__u32 ring_index = dir->ring;
	struct up_event *event;
	void *ring;

	ring = bpf_map_lookup_elem(&rings, &ring_index);
	if (!ring)
		return;
	event = bpf_ringbuf_reserve(ring, sizeof(*event), 0);
	if (!event) {
		STAT_ADD(events_lost, 1);
		return;
	}
	event->token = dir->token;
	event->direction = index;
	event->handback = why;
	bpf_ringbuf_submit(event, 0);
}

/* From here on the daemon moves the bytes; the segment at hand is its first. The pair's other
 * direction goes along: see coupled() in path_kernel.c. */
static __always_inline int hand_back(struct up_direction *dir, __u32 index, __u32 why)
{
	__u32 peer_index = dir->peer;
	struct up_direction *peer;

	dir->handback = why;
	dir->handbacks++;
	__sync_fetch_and_or(&dir->word, UP_WORD_USER);
	notify(dir, index, why);

	peer = bpf_map_lookup_elem(&directions, &peer_index);
	if (peer && !(__sync_fetch_and_or(&peer->word, UP_WORD_USER) & UP_WORD_USER))
		notify(peer, peer_index, UP_HANDBACK_COUPLED);
	return SK_PASS;
}

struct trim_walk {
	struct __sk_buff *skb;
	__u32 left; /* bytes to take off yet */
};

static long trim_step(__u32 i, struct trim_walk *walk)
{
	__u32 step = walk->left < TRIM_STEP ? walk->left : TRIM_STEP;

	if (!step || bpf_skb_adjust_room(walk->skb, -(__s32)step, 0, 0))
		return 1;
	walk->left -= step;
	return 0;
}

/* Remove n bytes from the front of the payload. Returns how many are left to remove. */
static __always_inline __u32 trim(struct __sk_buff *skb, __u32 n)
{
	struct trim_walk walk = { .skb = skb, .left = n };

	bpf_loop(TRIM_STEPS, trim_step, &walk, 0);
	return walk.left;
}

enum trim_result { TRIM_OK, TRIM_EMPTY, TRIM_FAILED };

/* A segment is delivered whole even if user space has read its front, or if it repeats
 * bytes that were delivered: take off what is behind next_seq. */
static __always_inline enum trim_result trim_consumed(struct __sk_buff *skb,
						      struct up_direction *dir)
{
	struct sk_buff *kskb = bpf_cast_to_kern_ctx(skb);
	struct tcp_skb_cb *cb = bpf_rdonly_cast(kskb->cb,
						bpf_core_type_id_kernel(struct tcp_skb_cb));
	struct tcp_sock *tp = bpf_rdonly_cast(kskb->sk, bpf_core_type_id_kernel(struct tcp_sock));
	__u32 seq = cb->seq;
	__u32 len = skb->len;
	__s32 consumed;

	if (!dir->synced) {
		dir->next_seq = tp->copied_seq;
		dir->synced = 1;
	}
	consumed = (__s32)(dir->next_seq - seq);
	if (consumed <= 0) {
		dir->next_seq = seq + len;
		return TRIM_OK;
	}
	if ((__u32)consumed > len)
		consumed = len;
	if (trim(skb, consumed)) {
		STAT_ADD(trim_failed, 1);
		return TRIM_FAILED;
	}
	if (consumed == len) {
		STAT_ADD(duplicates, 1);
		return TRIM_EMPTY; /* and empty it is: tcp_eat_skb() must not count it again */
	}
	STAT_ADD(trimmed, 1);
	dir->next_seq = seq + len;
	return TRIM_OK;
}

/* Segments waiting for the kernel's worker in front of the socket. */
static __always_inline __u32 backlog_segments(struct tcp_sock *tp)
{
	unsigned long data = (unsigned long)tp->inet_conn.icsk_inet.sk.sk_user_data;
	struct sk_psock *psock;

	psock = bpf_rdonly_cast((void *)(data & ~SK_USER_DATA_FLAGS),
				bpf_core_type_id_kernel(struct sk_psock));
	return psock->ingress_skb.qlen;
}

/* What the reader behind the target took lately decides how much may wait for it. */
static __always_inline void update_room(struct up_direction *dir, struct tcp_sock *tp)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 span = now - dir->acked_ns;
	__u32 acked = tp->snd_una - dir->acked_seq;

	if (span < UP_ROOM_SPAN_NS)
		return;
	/* After a pause the first look says nothing of the present rate. */
	if (span > 4 * UP_ROOM_SPAN_NS)
		acked = 0;
	if (acked > UP_ROOM_MAX - UP_ROOM_BASE)
		acked = UP_ROOM_MAX - UP_ROOM_BASE;
	dir->room = UP_ROOM_BASE + acked;
	dir->acked_seq = tp->snd_una;
	dir->acked_ns = now;
}

/*
 * May len more bytes go to the target? Only what its send buffer is sure to take: so the
 * worker never finds the socket full (it would retry once a jiffy, and block the target's
 * own received data behind the queue), and memory is bounded. The daemon makes the send
 * buffer four times UP_ROOM_MAX: sk_psock_handle_skb() stops at sock_writeable(), which is
 * half of it, and what the kernel charges for is more than the bytes.
 */
static __always_inline bool has_room(struct up_direction *dir, struct tcp_sock *tp, __u32 len)
{
	__u32 write_seq = tp->write_seq;
	__u64 waiting, queued;

	if (dir->resumed) {
		dir->expected_seq = write_seq;
		dir->resumed = 0;
	}
	update_room(dir, tp);
	waiting = dir->expected_seq - write_seq;
	queued = (__u32)tp->inet_conn.icsk_inet.sk.sk_wmem_queued;
	if (queued + waiting + len > dir->room)
		return false;
	return backlog_segments(tp) < UP_BACKLOG_SEGMENTS;
}

/* The program may be interrupted by itself (a softirq over process context): what it builds
 * lives on the stack or in the map's own element, never in a per-CPU slot. */
static const struct up_conn conn_empty = { .state = UP_CONN_CONNECT };

static __always_inline void client_text(char *text, const struct up_addr *client)
{
	__u64 args[2] = { (unsigned long)client->ip, client->port };

	if (client->family == UP_FAMILY_IPV4) {
		args[0] = (unsigned long)(client->ip + 12);
		bpf_snprintf(text, UP_TEXT_ADDR, "%pI4:%u", args, sizeof(args));
	} else {
		bpf_snprintf(text, UP_TEXT_ADDR, "[%pI6]:%u", args, sizeof(args));
	}
}

/* Show the client in `connections` before user space has run. */
static __always_inline void publish(const struct up_header *header, __u64 cookie)
{
	struct up_conn *conn;

	if (bpf_map_update_elem(&connections, &cookie, &conn_empty, BPF_ANY))
		return; /* full: people see one less */
	conn = bpf_map_lookup_elem(&connections, &cookie);
	if (!conn)
		return;
	if (header->has_addr)
		client_text(conn->client, &header->src);
	conn->header_version = header->version;
}

/* Parse the header in the first segment. The bytes stay: user space reads exactly the
 * header off the stream, because what is unread must not be cut (copied_seq would lag by
 * that for ever). A header that is not whole is finished there by the same parser. */
static __noinline int parse_header(struct __sk_buff *skb, struct up_direction *dir, __u64 cookie)
{
	struct up_header_limits limits;
	struct up_header header;
	int status;

	if (!dir)
		return 0;
	limits.max_len = dir->header_max;
	limits.flags = dir->header_flags;
	status = header_parse_skb(skb, &limits, &header);

	dir->stage = UP_STAGE_PARSED;
	dir->parse_status = status;
	dir->parse_reason = header.reason;
	dir->parse_version = header.version;
	dir->parse_len = header.len;
	if (status == UP_HEADER_COMPLETE) {
		STAT_ADD(headers_complete, 1);
		publish(&header, cookie);
	} else if (status == UP_HEADER_INVALID) {
		STAT_ADD(headers_invalid, 1);
	} else {
		STAT_ADD(headers_incomplete, 1);
	}
	return 0;
}

/*
 * Is the source's window shut, with nobody to open it? A segment that comes while user space
 * holds the socket waits in its backlog, and counts there until __release_sock() is through
 * with all of them, even when we have sent it on. A recv() that opens the window makes a
 * sender on this host answer from within it, until the buffer seems full: then no update goes
 * out, and the sender waits for its own probe, 200 ms. A sender that has room for a
 * segment, or for half of the largest window, goes on by itself.
 */
static __always_inline bool window_shut(struct __sk_buff *skb)
{
	struct sk_buff *kskb = bpf_cast_to_kern_ctx(skb);
	struct tcp_sock *tp = bpf_rdonly_cast(kskb->sk, bpf_core_type_id_kernel(struct tcp_sock));
	__s32 left = (__s32)(tp->rcv_wup + tp->rcv_wnd - tp->rcv_nxt);

	if (!tp->inet_conn.icsk_inet.sk.sk_backlog.len)
		return false;
	return left < tp->advmss && 2 * left <= (__s32)tp->window_clamp;
}

/* Any read of user space opens it, be it of a byte that was sent long ago. Without one it
 * gets the segment at hand. */
static __always_inline __u32 have_window_opened(struct up_direction *dir, __u32 index)
{
	if (dir->shut)
		return UP_HANDBACK_NONE; /* asked for already */
	STAT_ADD(shut, 1);
	if (!dir->keeps)
		return UP_HANDBACK_SHUT;
	dir->shut = 1;
	notify(dir, index, UP_HANDBACK_NONE);
	return UP_HANDBACK_NONE;
}

static __always_inline __u32 redirect(struct __sk_buff *skb, __u64 cookie, struct up_direction *dir)
{
	struct tcp_sock *tp;
	struct bpf_sock *target;
	__u32 len = skb->len;
	bool room = false;

	target = bpf_map_lookup_elem(&targets, &cookie);
	if (!target)
		return UP_HANDBACK_NO_TARGET;
	tp = bpf_skc_to_tcp_sock(target);
	if (tp)
		room = has_room(dir, tp, len);
	bpf_sk_release(target);
	if (!room)
		return UP_HANDBACK_CONGESTED;
	if (bpf_sk_redirect_hash(skb, &targets, &cookie, 0) != SK_PASS)
		return UP_HANDBACK_NO_TARGET;

	dir->expected_seq += len;
	dir->redirected += len;
	dir->segments++;
	return UP_HANDBACK_NONE;
}

SEC("sk_skb")
int up_verdict(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	__u32 *index, why = UP_HANDBACK_NONE;
	struct up_direction *dir;
	enum trim_result trimmed;
	__u64 word;

	/* A bare FIN. Redirected, it would end the target's worker with EPIPE; the end of
	 * the stream is told by the daemon, after the last byte. */
	if (!skb->len) {
		STAT_ADD(fins, 1);
		return SK_DROP;
	}

	index = bpf_map_lookup_elem(&direction_of, &cookie);
	dir = index ? bpf_map_lookup_elem(&directions, index) : NULL;
	if (!dir) {
		STAT_ADD(unknown_source, 1);
		return SK_PASS;
	}

	trimmed = trim_consumed(skb, dir);
	if (trimmed == TRIM_EMPTY)
		return SK_DROP; /* every byte of it has been delivered */

	if (dir->stage == UP_STAGE_HEADER)
		parse_header(skb, dir, cookie);

	word = __sync_fetch_and_add(&dir->word, skb->len);
	if (trimmed == TRIM_FAILED)
		return hand_back(dir, *index, UP_HANDBACK_BROKEN);
	if (word & UP_WORD_USER) {
		STAT_ADD(passed_segments, 1);
		return SK_PASS;
	}

	__u32 len = skb->len;

	if (window_shut(skb))
		why = have_window_opened(dir, *index);
	if (why == UP_HANDBACK_NONE)
		why = redirect(skb, cookie, dir);
	if (why == UP_HANDBACK_NONE) {
		STAT_ADD(redirected_bytes, len);
		STAT_ADD(redirected_segments, 1);
		return SK_PASS;
	}
	if (why == UP_HANDBACK_CONGESTED)
		STAT_ADD(congested, 1);
	else if (why == UP_HANDBACK_NO_TARGET)
		STAT_ADD(no_target, 1);
	return hand_back(dir, *index, why);
}
