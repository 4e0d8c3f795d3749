/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A TCP packet taken apart, and the small edits that keep its length. Everything goes
 * through helpers that copy: no pointer into the packet is kept, so it may lie in any
 * number of pieces.
 */
#ifndef INLINE_PACKET_BPF_H
#define INLINE_PACKET_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "inline_maps.bpf.h"

/* vmlinux.h has no macros: include/uapi/linux/{pkt_cls,if_ether,in,errno}.h. */
#define TC_ACT_UNSPEC (-1)
#define TC_ACT_SHOT 2
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD
#define ETH_HLEN 14
/* Not in the types of every kernel that has it: Linux 6.1 names it in no enum that is kept. */
#define BPF_F_CURRENT_NETNS (-1L)

/* To the next filter, if there is one, and then to the stack: others' stay in force. */
#define PASS TC_ACT_UNSPEC
#define DROP TC_ACT_SHOT

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10

#define TCP_MIN 20
#define TCP_MAX 60
#define TCP_OFF_SPORT 0
#define TCP_OFF_DPORT 2
#define TCP_OFF_SEQ 4
#define TCP_OFF_ACK 8
#define TCP_OFF_FLAGS 13
#define TCP_OFF_CHECK 16

#define IPV4_MIN 20
#define IPV4_OFF_LEN 2
#define IPV4_OFF_CHECK 10
#define IPV4_FRAGMENT 0x3FFF /* "more", and the offset */
#define IPV6_LEN 40
#define IPV6_OFF_LEN 4
#define NEXTHDR_HOP 0 /* include/net/ipv6.h */
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_DEST 60
#define IPV6_EXTENSIONS 4 /* more than Linux and balancers ever send */

/* A mask for where headers may be: 4 extensions of 2 KiB. */
#define HEADER_AT_MAX 0x3FFF

struct packet {
	struct up_flow_key key;
	__u32 net;  /* of the IP header, from the start of the buffer */
	__u32 l4;   /* of the TCP header */
	__u32 data; /* of the payload */
	__u32 len;  /* bytes of payload: what IP says, not what Ethernet padded */
	__u32 seq;
	__u32 ack;
	__u16 window;
	__u8 flags;
	__u8 version; /* 4 or 6 */
	__u8 fragment;
	__u8 hidden; /* behind more headers than we look through: may be anything */
	__u8 role;   /* enum up_port_role, of our port */
};

enum packet_way { PACKET_IN, PACKET_OUT };

static __always_inline __u32 packet_options(const struct packet *p)
{
	return p->data - p->l4 - TCP_MIN;
}

static __always_inline __u8 port_role(__u16 port)
{
	__u32 zero = 0;
	struct up_ports *roles = bpf_map_lookup_elem(&ports, &zero);

	return roles ? roles->role[port] : 0;
}

static __always_inline void map_ipv4(__u8 *ip, __be32 addr)
{
	__u32 *words = (__u32 *)ip;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xFFFF);
	words[3] = addr;
}

/* Copy a header out of the packet: from where it lies, if it lies in one piece, which is the
 * rule; the helper costs as much as all the rest of taking a packet apart. */
static __always_inline long load_header(struct __sk_buff *skb, __u32 at, void *to, __u32 size)
{
	void *from, *end = (void *)(long)skb->data_end;

	asm volatile("" : "+r"(at));
	at &= HEADER_AT_MAX;
	from = (void *)(long)skb->data + at;
	if (from + size > end)
		return bpf_skb_load_bytes(skb, at, to, size);
	__builtin_memcpy(to, from, size);
	return 0;
}

/* The packet's length as IP has it. A length of 0 means more than 64 KiB (BIG TCP). */
static __always_inline __u32 packet_total(struct __sk_buff *skb, __u32 net, __u32 said)
{
	return said ? said : skb->len - net;
}

/* Returns the packet's end from the start of the buffer, 0: not TCP. */
static __always_inline __u32 parse_ipv4(struct __sk_buff *skb, struct packet *p,
					enum packet_way way)
{
	struct iphdr ip;
	__u16 offset;

	if (load_header(skb, p->net, &ip, sizeof(ip)))
		return 0;
	offset = bpf_ntohs(ip.frag_off) & IPV4_FRAGMENT;
	if (ip.version != 4 || ip.ihl < 5 || ip.protocol != IPPROTO_TCP || offset & 0x1FFF)
		return 0;
	p->version = 4;
	p->fragment = offset != 0;
	p->l4 = p->net + ip.ihl * 4;
	map_ipv4(way == PACKET_IN ? p->key.remote_ip : p->key.local_ip, ip.saddr);
	map_ipv4(way == PACKET_IN ? p->key.local_ip : p->key.remote_ip, ip.daddr);
	return p->net + packet_total(skb, p->net, bpf_ntohs(ip.tot_len));
}

static __always_inline bool is_extension(__u8 header)
{
	return header == NEXTHDR_HOP || header == NEXTHDR_ROUTING || header == NEXTHDR_DEST ||
	       header == NEXTHDR_FRAGMENT;
}

/* Step over extension headers. Returns where TCP begins, 0: it is not TCP, or not the
 * first fragment of it. */
static __always_inline __u32 skip_extensions(struct __sk_buff *skb, struct packet *p, __u8 next)
{
	__u32 at = p->net + IPV6_LEN;

	for (int i = 0; i < IPV6_EXTENSIONS && next != IPPROTO_TCP; i++) {
		__u8 head[4];

		if (!is_extension(next))
			return 0;
		if (bpf_skb_load_bytes(skb, at, head, sizeof(head)))
			return 0;
		if (next == NEXTHDR_FRAGMENT) {
			if (head[2] || head[3] & 0xF8)
				return 0;
			p->fragment = 1;
			at += 8;
		} else {
			at += 8 + head[1] * 8;
		}
		next = head[0];
	}
	p->hidden = is_extension(next);
	return next == IPPROTO_TCP ? at : 0;
}

static __always_inline __u32 parse_ipv6(struct __sk_buff *skb, struct packet *p,
					enum packet_way way)
{
	struct ipv6hdr ip;
	__u32 said;

	if (load_header(skb, p->net, &ip, sizeof(ip)) || ip.version != 6)
		return 0;
	p->version = 6;
	p->fragment = 0;
	p->l4 = ip.nexthdr == IPPROTO_TCP ? p->net + IPV6_LEN : skip_extensions(skb, p, ip.nexthdr);
	if (!p->l4)
		return 0;
	__builtin_memcpy(way == PACKET_IN ? p->key.remote_ip : p->key.local_ip, &ip.saddr, 16);
	__builtin_memcpy(way == PACKET_IN ? p->key.local_ip : p->key.remote_ip, &ip.daddr, 16);
	said = bpf_ntohs(ip.payload_len);
	return p->net + packet_total(skb, p->net, said ? said + IPV6_LEN : 0);
}

/*
 * A glance that spares all other traffic the rest: false where the packet is surely none of
 * ours. Whatever is unusual (IP options, extension headers, a header in pieces) may be.
 */
static __always_inline bool packet_may_be_ours(struct __sk_buff *skb, __u32 l2, enum packet_way way)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct iphdr *ip4 = data + l2;
	const struct ipv6hdr *ip6 = data + l2;
	const __be16 *ports;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		ports = data + l2 + IPV4_MIN;
		if ((void *)(ports + 2) > end || ip4->ihl != IPV4_MIN / 4)
			return true;
		if (ip4->protocol != IPPROTO_TCP)
			return false;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		ports = data + l2 + IPV6_LEN;
		if ((void *)(ports + 2) > end || ip6->nexthdr != IPPROTO_TCP)
			return true;
	} else {
		return false;
	}
	return port_role(bpf_ntohs(ports[way == PACKET_IN])) &
	       (way == PACKET_IN ? UP_PORT_WIRE : UP_PORT_APP);
}

/* False: not even ports. A first fragment that ends in the TCP header may be a SYN, for all that
 * can be seen. */
static __always_inline bool load_tcp(struct __sk_buff *skb, const struct packet *p,
				     struct tcphdr *tcp)
{
	if (!load_header(skb, p->l4, tcp, sizeof(*tcp)))
		return true;
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->syn = 1;
	return p->fragment && !load_header(skb, p->l4, tcp, 2 * sizeof(tcp->source));
}

/*
 * Take a packet apart that begins with l2 bytes of link header. False: it is no TCP, none
 * of our ports, or so broken that the stack will drop it. A tag of a VLAN still in the
 * packet, or beside it, means that it belongs to that VLAN's own device, which has programs
 * of its own; tag 0 is mere priority.
 */
static __noinline bool packet_parse(struct __sk_buff *skb, __u32 l2, struct packet *p,
				    enum packet_way way)
{
	struct tcphdr tcp;
	__u32 end, header;

	p->hidden = 0;
	if (skb->vlan_present && skb->vlan_tci & 0xFFF)
		return false;
	p->net = l2;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		end = parse_ipv4(skb, p, way);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		end = parse_ipv6(skb, p, way);
	else
		return false;
	if (!end || !load_tcp(skb, p, &tcp))
		return false;
	p->role = port_role(bpf_ntohs(way == PACKET_IN ? tcp.dest : tcp.source));
	if (!(p->role & (way == PACKET_IN ? UP_PORT_WIRE : UP_PORT_APP)))
		return false;
	p->key.remote_port = bpf_ntohs(way == PACKET_IN ? tcp.source : tcp.dest);
	p->key.local_port = bpf_ntohs(way == PACKET_IN ? tcp.dest : tcp.source);
	p->flags = ((__u8 *)&tcp)[TCP_OFF_FLAGS];
	header = tcp.doff * 4;
	/* A first fragment may end in the middle of the header: it is told to be one, no more. */
	if (header < TCP_MIN || p->l4 + header > end || end > skb->len)
		return way == PACKET_IN && p->fragment;
	p->data = p->l4 + header;
	p->len = end - p->data;
	p->seq = bpf_ntohl(tcp.seq);
	p->ack = bpf_ntohl(tcp.ack_seq);
	p->window = bpf_ntohs(tcp.window);
	return true;
}

/*
 * Change a 4-byte field of the TCP header. bpf_l4_csum_replace() without
 * BPF_F_PSEUDO_HDR leaves alone the field of a packet that is still CHECKSUM_PARTIAL, and
 * CHECKSUM_COMPLETE's sum is the same before and after.
 */
static __always_inline long edit32(struct __sk_buff *skb, const struct packet *p, __u32 field,
				   __u32 from, __u32 to)
{
	__be32 value = bpf_htonl(to);
	long err;

	err = bpf_l4_csum_replace(skb, p->l4 + TCP_OFF_CHECK, bpf_htonl(from), value, 4);
	return err ? err : bpf_skb_store_bytes(skb, p->l4 + field, &value, sizeof(value), 0);
}

static __always_inline long edit_port(struct __sk_buff *skb, const struct packet *p, __u32 field,
				      __u16 from, __u16 to)
{
	__be16 value = bpf_htons(to);
	long err;

	if (from == to)
		return 0;
	err = bpf_l4_csum_replace(skb, p->l4 + TCP_OFF_CHECK, bpf_htons(from), value, 2);
	return err ? err : bpf_skb_store_bytes(skb, p->l4 + field, &value, sizeof(value), 0);
}

#endif
