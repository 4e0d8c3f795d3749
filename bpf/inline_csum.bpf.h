/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Checksums of packets that change their length. Sums are those of the Internet checksum:
 * one's complement over 16-bit words as they lie in memory, so the byte order does not
 * matter as long as nobody converts it.
 *
 * A packet comes in one of four states, and a program is told none of them:
 *
 *	state        what is true of it                   what a rewrite owes
 *	PARTIAL      field holds the pseudo header's sum  the new pseudo header's sum
 *	UNNECESSARY  field right, somebody has checked    a right field
 *	COMPLETE     skb->csum is the sum of all bytes    a right field, and skb->csum
 *	NONE         field as the sender made it          a field that is as right as it was
 */
#ifndef INLINE_CSUM_BPF_H
#define INLINE_CSUM_BPF_H

#include "inline_packet.bpf.h"

enum checksum_state {
	CSUM_PARTIAL,
	CSUM_UNNECESSARY,
	CSUM_COMPLETE,
	CSUM_NONE,
};

#define SUM_CHUNK 512U /* bpf_csum_diff() takes no more before 6.13 */
#define SUM_CHUNKS 130 /* 64 KiB and a header */

static __always_inline __u32 sum_add(__u32 a, __u32 b)
{
	a += b;
	return a + (a < b);
}

static __always_inline __u32 sum_sub(__u32 a, __u32 b)
{
	return sum_add(a, ~b);
}

static __always_inline __u16 sum_fold(__u32 sum)
{
	sum = (sum & 0xFFFF) + (sum >> 16);
	return (sum & 0xFFFF) + (sum >> 16);
}

/* The sum of bytes that move by an odd distance. */
static __always_inline __u32 sum_swap(__u32 sum)
{
	return __builtin_bswap16(sum_fold(sum));
}

/* Of the pseudo header. The same line for both families: the mapped prefix of an IPv4
 * address is a word of ones, which is zero here. The ways are alike, too. */
static __always_inline __u32 sum_pseudo(const struct packet *p, __u32 tcp_len)
{
	__u32 sum = bpf_csum_diff(NULL, 0, (__be32 *)p->key.remote_ip, 32, 0);

	sum = sum_add(sum, bpf_htonl(tcp_len));
	return sum_add(sum, bpf_htons(IPPROTO_TCP));
}

struct sum_walk {
	struct __sk_buff *skb;
	__u8 *chunk; /* of header_scratch */
	__u32 at;
	__u32 left;
	__u32 sum;
	__s32 err;
};

static long sum_step(__u32 turn, void *ctx)
{
	struct sum_walk *walk = ctx;
	__u32 n = walk->left;

	if (n > SUM_CHUNK)
		n = SUM_CHUNK;
	asm volatile("" : "+r"(n)); /* the compiler must not forget what it just proved */
	if (n == 0 || n > SUM_CHUNK)
		return 1;
	walk->err = bpf_skb_load_bytes(walk->skb, walk->at, walk->chunk, n);
	if (walk->err)
		return 1;
	for (int i = 0; i < 3; i++)
		walk->chunk[n + i] = 0;
	walk->sum = sum_add(walk->sum,
			    bpf_csum_diff(NULL, 0, (__be32 *)walk->chunk, (n + 3) & ~3U, 0));
	walk->at += n;
	walk->left -= n;
	return 0;
}

/* The sum of len bytes of the packet, the first taken as even. False: not readable. */
__noinline bool sum_bytes(struct __sk_buff *skb, __u32 at, __u32 len, __u32 *ret)
{
	struct header_scratch *scratch = scratch_get();
	struct sum_walk walk = { .skb = skb, .at = at, .left = len };

	if (!scratch || !ret)
		return false;
	walk.chunk = scratch->chunk;
	bpf_loop(SUM_CHUNKS, sum_step, &walk, 0);
	*ret = walk.sum;
	return !walk.err && !walk.left;
}

/* skb->csum of a COMPLETE packet: the sum from the IP header on. Negative: is none. */
static __always_inline __s64 csum_complete(struct __sk_buff *skb)
{
	return bpf_csum_update(skb, 0);
}

/* Which of the four. PARTIAL and NONE differ in what bpf_l4_csum_replace() does. */
__noinline int checksum_state(struct __sk_buff *skb, const struct packet *p)
{
	__u32 field;
	__u16 before, after;

	if (!p)
		return CSUM_NONE;
	field = p->l4 + TCP_OFF_CHECK;
	if (bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) >= 0)
		return CSUM_UNNECESSARY;
	if (csum_complete(skb) >= 0)
		return CSUM_COMPLETE;
	if (bpf_skb_load_bytes(skb, field, &before, sizeof(before)) ||
	    bpf_l4_csum_replace(skb, field, 0, bpf_htons(1), 2) ||
	    bpf_skb_load_bytes(skb, field, &after, sizeof(after)))
		return CSUM_NONE;
	if (before == after)
		return CSUM_PARTIAL;
	(void)bpf_skb_store_bytes(skb, field, &before, sizeof(before), 0);
	return CSUM_NONE;
}

/* Of the IP header with all that stands between it and TCP. An IPv4 header sums up to
 * zero, or the stack drops it. */
static __always_inline bool sum_ip(struct __sk_buff *skb, const struct packet *p, __u32 *ret)
{
	*ret = 0;
	return p->version == 4 || sum_bytes(skb, p->net, p->l4 - p->net, ret);
}

/*
 * Are the bytes what the sender sent? The stack checks only what we pass on, and by then
 * we would have believed what stood in the header. For PARTIAL and UNNECESSARY somebody
 * has vouched for it.
 */
__noinline bool csum_verified(struct __sk_buff *skb, const struct packet *p, int state)
{
	__u32 tcp_len, sum, ip;

	if (!p)
		return false;
	tcp_len = p->data - p->l4 + p->len;
	if (state == CSUM_PARTIAL || state == CSUM_UNNECESSARY)
		return true;
	if (state == CSUM_COMPLETE) {
		if (!sum_ip(skb, p, &ip))
			return false;
		sum = sum_sub((__u32)csum_complete(skb), ip);
	} else if (!sum_bytes(skb, p->l4, tcp_len, &sum)) {
		return false;
	}
	return sum_fold(sum_add(sum, sum_pseudo(p, tcp_len))) == 0xFFFF;
}

#endif
