/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Changes of a packet's length: bytes cut out behind the TCP header.
 */
#ifndef INLINE_CUT_BPF_H
#define INLINE_CUT_BPF_H

#include "inline_image.bpf.h"

struct cut {
	__u32 bytes; /* how many leave, from the first of the payload on */
	__u32 seq;   /* of what is left */
	__u16 port;  /* where that goes to */
	int state;   /* enum checksum_state */
};

/* The header as it goes on from here: at its new sequence number, and with the urgent pointer
 * still where it pointed. */
static __always_inline void image_advance(struct tcp_image *image, const struct cut *cut)
{
	struct tcphdr *tcp = image_head(image);
	__u16 urgent = bpf_ntohs(tcp->urg_ptr);

	tcp->seq = bpf_htonl(cut->seq);
	tcp->dest = bpf_htons(cut->port);
	if (!tcp->urg)
		return;
	tcp->urg = urgent > cut->bytes;
	tcp->urg_ptr = urgent > cut->bytes ? bpf_htons(urgent - cut->bytes) : 0;
}

/* IP's idea of the packet's length. */
static __always_inline long set_ip_len(struct __sk_buff *skb, const struct packet *p, __u32 total)
{
	__be16 before, after = 0;
	long err;

	if (p->version == 6) {
		if (total - IPV6_LEN <= 0xFFFF)
			after = bpf_htons(total - IPV6_LEN);
		return bpf_skb_store_bytes(skb, p->net + IPV6_OFF_LEN, &after, sizeof(after), 0);
	}
	if (total <= 0xFFFF) /* else BIG TCP, which says 0 */
		after = bpf_htons(total);
	err = bpf_skb_load_bytes(skb, p->net + IPV4_OFF_LEN, &before, sizeof(before));
	if (!err)
		err = bpf_l3_csum_replace(skb, p->net + IPV4_OFF_CHECK, before, after, 2);
	return err ? err
		   : bpf_skb_store_bytes(skb, p->net + IPV4_OFF_LEN, &after, sizeof(after), 0);
}

/* Move what stands between the IP header's fixed part and TCP (IPv4 options, IPv6 extension
 * headers) n bytes on: adjust_room() takes bytes away behind the fixed part. */
static __always_inline long move_ip_options(struct __sk_buff *skb, const struct packet *p, __u32 n)
{
	struct header_scratch *scratch = scratch_get();
	__u32 at = p->net + (p->version == 4 ? IPV4_MIN : IPV6_LEN), len = p->l4 - at;

	if (!len)
		return 0;
	asm volatile("" : "+r"(len));
	if (!scratch || len == 0 || len > SUM_CHUNK)
		return -1;
	return bpf_skb_load_bytes(skb, at, scratch->chunk, len)
		       ?: bpf_skb_store_bytes(skb, at + n, scratch->chunk, len, 0);
}

/* What the payload that stays says of itself: the field, and skb->csum if there is one. */
struct cut_sums {
	__u32 field; /* the TCP checksum to be */
	__u32 total; /* skb->csum to be */
};

static __always_inline bool cut_sum(struct __sk_buff *skb, const struct packet *p,
				    const struct cut *cut, struct tcp_image *image,
				    struct cut_sums *ret)
{
	__u32 tcp_len = p->data - p->l4 + p->len;
	__u32 head = image_sum(image), gone, ip, claimed, rest = 0;

	if (!sum_bytes(skb, p->data, cut->bytes, &gone))
		return false;
	head = sum_add(head, gone);
	claimed = ~sum_add(head, sum_pseudo(p, tcp_len));
	if (cut->state == CSUM_COMPLETE) {
		if (!sum_ip(skb, p, &ip))
			return false;
		rest = sum_sub(sum_sub((__u32)csum_complete(skb), ip), head);
		if (p->version == 6) /* the only word of the IP header that changes */
			ret->total = sum_sub(sum_add(ip, bpf_htons(tcp_len - cut->bytes)),
					     bpf_htons(tcp_len));
		else
			ret->total = 0;
	}
	if (cut->bytes & 1) {
		claimed = sum_swap(claimed);
		rest = sum_swap(rest);
	}
	image_advance(image, cut);
	image_head(image)->check = 0;
	head = image_sum(image);
	ret->field = (__u16)~sum_fold(
		sum_add(sum_add(head, claimed), sum_pseudo(p, tcp_len - cut->bytes)));
	ret->total = sum_add(ret->total, sum_add(sum_add(head, ret->field), rest));
	return true;
}

/*
 * The field of a packet that came CHECKSUM_PARTIAL. Taking bytes off in front makes NONE of it
 * as soon as the place where the sum begins falls out of the packet (skb_postpull_rcsum), and
 * then it is vouched for as it was before. With fewer bytes it stays PARTIAL, with a place
 * that is wrong by so many: then TCP sums it up (skb_csum_unnecessary), and must find it right.
 */
static __always_inline bool cut_sum_partial(struct __sk_buff *skb, const struct packet *p,
					    const struct cut *cut, struct tcp_image *image,
					    struct cut_sums *ret)
{
	__u32 left = p->len - cut->bytes, rest;
	__u32 pseudo = sum_pseudo(p, p->data - p->l4 + left);

	image_advance(image, cut);
	image_head(image)->check = 0;
	ret->field = sum_fold(pseudo);
	if (cut->bytes > p->l4)
		return true;
	if (!sum_bytes(skb, p->data + cut->bytes, left, &rest))
		return false;
	ret->field = (__u16)~sum_fold(sum_add(sum_add(pseudo, image_sum(image)), rest));
	return true;
}

/* Cut the first bytes of the payload out; some payload stays. On failure the packet is
 * spoilt and must be dropped. */
__noinline long cut_front(struct __sk_buff *skb, struct packet *p, struct cut *cut)
{
	struct cut_sums sums = { 0 };
	struct tcp_image image = { 0 };
	bool summed;
	long err;

	if (!p || !cut || !image_load(skb, p, &image))
		return -1;
	summed = cut->state == CSUM_PARTIAL ? cut_sum_partial(skb, p, cut, &image, &sums)
					    : cut_sum(skb, p, cut, &image, &sums);
	if (!summed)
		return -1;
	image_head(&image)->check = (__u16)sums.field;

	err = image_store(skb, &image, p->l4 + cut->bytes, 0);
	if (!err)
		err = move_ip_options(skb, p, cut->bytes);
	if (!err)
		err = bpf_skb_adjust_room(skb, -(__s32)cut->bytes, BPF_ADJ_ROOM_NET,
					  BPF_F_ADJ_ROOM_FIXED_GSO);
	if (!err)
		err = set_ip_len(skb, p, p->data - p->net + p->len - cut->bytes);
	if (err)
		return err;
	if (cut->state == CSUM_PARTIAL)
		(void)bpf_csum_level(skb, BPF_CSUM_LEVEL_INC);
	else if (cut->state == CSUM_COMPLETE)
		(void)bpf_csum_update(skb, sum_sub(sums.total, (__u32)csum_complete(skb)));
	return 0;
}

/* Take off what Ethernet padded: TCP's checksum does not cover it. Makes NONE of COMPLETE
 * (__skb_trim_rcsum), so ask for the state after it. */
static __always_inline long trim_padding(struct __sk_buff *skb, const struct packet *p)
{
	__u32 end = p->data + p->len;

	return skb->len > end ? bpf_skb_change_tail(skb, end, 0) : 0;
}

/* Before anything is believed of a packet, or a checksum of ours written over its own. */
static __always_inline bool packet_verified(struct __sk_buff *skb, const struct packet *p)
{
	if (!trim_padding(skb, p) && csum_verified(skb, p, checksum_state(skb, p)))
		return true;
	FLOW_STAT(bad_checksum);
	return false;
}

#endif
