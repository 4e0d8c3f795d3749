/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A TCP header outside of its packet: taken out, changed as a whole, sealed with a checksum
 * and put back. Its options, too.
 */
#ifndef INLINE_IMAGE_BPF_H
#define INLINE_IMAGE_BPF_H

#include "inline_csum.bpf.h"

static __always_inline struct tcphdr *image_head(struct tcp_image *image)
{
	return (struct tcphdr *)image->bytes;
}

static __always_inline bool image_load(struct __sk_buff *skb, const struct packet *p,
				       struct tcp_image *image)
{
	__u32 len = p->data - p->l4;

	image->len = len;
	asm volatile("" : "+r"(len));
	if (len < TCP_MIN || len > TCP_MAX)
		return false;
	return !bpf_skb_load_bytes(skb, p->l4, image->bytes, len);
}

static __always_inline __u32 image_sum(struct tcp_image *image)
{
	__u32 len = image->len & ~3U;

	asm volatile("" : "+r"(len));
	if (len < TCP_MIN || len > TCP_MAX)
		return 0;
	return bpf_csum_diff(NULL, 0, (__be32 *)image->bytes, len, 0);
}

static __always_inline long image_store(struct __sk_buff *skb, struct tcp_image *image, __u32 at,
					__u64 flags)
{
	__u32 len = image->len;

	asm volatile("" : "+r"(len));
	if (len < TCP_MIN || len > TCP_MAX)
		return -1;
	return bpf_skb_store_bytes(skb, at, image->bytes, len, flags);
}

/* Write the header of a packet without payload, with the checksum that its state asks for.
 * RECOMPUTE keeps skb->csum true where there is one. */
static __always_inline long image_seal(struct __sk_buff *skb, const struct packet *p,
				       struct tcp_image *image, int state)
{
	__u32 sum = sum_pseudo(p, image->len);

	image_head(image)->check = 0;
	if (state == CSUM_PARTIAL)
		image_head(image)->check = sum_fold(sum);
	else
		image_head(image)->check = ~sum_fold(sum_add(sum, image_sum(image)));
	return image_store(skb, image, p->l4, BPF_F_RECOMPUTE_CSUM);
}

#define TCPOPT_EOL 0
#define TCPOPT_NOP 1
#define TCPOPT_WINDOW 3
#define TCPOPT_SACK 5
#define TCPOPT_TIMESTAMP 8
#define TCPOPT_MPTCP 30
#define TCPOPT_FASTOPEN 34
#define TCPOPT_EXPERIMENT 254 /* TCP Fast Open before RFC 7413 */
#define TIMESTAMP_LEN 10

#define IMAGE_AT(at) ((at)&63)

/* Where the options say what; 0: nowhere. Offsets from the header's first byte. */
struct tcp_options {
	__u32 window;
	__u32 sack;
	__u32 timestamp;
	__u32 unwanted; /* the first one that a SYN must not carry through us */
};

static __always_inline bool option_is_unwanted(__u8 kind)
{
	return kind == TCPOPT_MPTCP || kind == TCPOPT_FASTOPEN || kind == TCPOPT_EXPERIMENT;
}

struct option_walk {
	const struct tcp_image *image;
	struct tcp_options found;
	__u32 at;
};

/* One option. Returns other than 0 where the list ends, or is broken. The mask never takes a
 * bit away: it tells the verifier that all turns are alike. */
static long option_step(__u32 turn, void *ctx)
{
	struct option_walk *walk = ctx;
	__u32 at = walk->at, len;
	__u8 kind;

	if (at >= walk->image->len)
		return 1;
	kind = walk->image->bytes[IMAGE_AT(at)];
	if (kind == TCPOPT_EOL)
		return 1;
	if (kind == TCPOPT_NOP) {
		walk->at = IMAGE_AT(at + 1);
		return 0;
	}
	len = walk->image->bytes[IMAGE_AT(at + 1)];
	if (len < 2 || at + len > walk->image->len)
		return 1;
	if (kind == TCPOPT_WINDOW && len == 3)
		walk->found.window = at;
	else if (kind == TCPOPT_SACK)
		walk->found.sack = at;
	else if (kind == TCPOPT_TIMESTAMP && len == TIMESTAMP_LEN)
		walk->found.timestamp = at;
	else if (option_is_unwanted(kind) && !walk->found.unwanted)
		walk->found.unwanted = at;
	walk->at = IMAGE_AT(at + len);
	return 0;
}

/* A loop of the kernel's: the verifier would walk every way through forty options. */
__noinline int options_find(const struct tcp_image *image, struct tcp_options *ret)
{
	struct option_walk walk = { .image = image, .at = TCP_MIN };

	if (!image || !ret)
		return 0;
	bpf_loop(TCP_MAX - TCP_MIN, option_step, &walk, 0);
	*ret = walk.found;
	return 0;
}

#endif
