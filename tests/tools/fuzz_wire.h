/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of tcp_fuzz: built from and parsed into a struct segment, byte by byte from the
 * RFCs, with every checksum computed here. No I/O, no state of a connection.
 */
#ifndef FUZZ_WIRE_H
#define FUZZ_WIRE_H

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PACKET_MAX (70 * 1024)
#define ETH_LEN 14
#define SACK_MAX 4

enum {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
	TCP_URG = 32,
	TCP_ECE = 64,
	TCP_CWR = 128
};

/* Both ends of the device; the fuzzer is the remote one. */
struct wire {
	bool ethernet, vnet;
	uint8_t host_mac[6], remote_mac[6];
	uint8_t remote[2][16], host[2][16]; /* [0] IPv4, in the first four bytes; [1] IPv6 */
	uint16_t port;
};

struct sack {
	uint32_t left, right;
};

/* How a packet's checksum reaches the kernel (only with vnet can it be partial). */
enum sum_state { SUM_WHOLE, SUM_PARTIAL, SUM_WRONG };

struct segment {
	bool v6;
	uint16_t remote_port, window, urgent, gso_size;
	uint32_t seq, ack;
	uint8_t flags, ecn;
	const uint8_t *data;
	size_t len;
	enum sum_state sum;
	unsigned wrong_bit;
	/* options */
	uint16_t mss; /* 0: none, and so with those below */
	int scale;    /* -1: none */
	bool sack_ok, has_ts, packed_ts;
	uint32_t tsval, tsecr;
	unsigned sacks;
	struct sack sack[SACK_MAX];
	uint8_t odd[40]; /* more options, whole ones */
	size_t odd_len, pad_v4;
};

static inline uint32_t sum_add(const uint8_t *data, size_t len, uint32_t sum)
{
	uint64_t wide = sum;

	for (; len >= 2; data += 2, len -= 2)
		wide += (uint32_t)data[0] << 8 | data[1];
	if (len)
		wide += (uint32_t)data[0] << 8;
	while (wide >> 16)
		wide = (wide & 0xffff) + (wide >> 16);
	return (uint32_t)wide;
}

static inline void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static inline uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static inline uint32_t get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

static inline uint32_t pseudo_sum(const uint8_t *from, const uint8_t *to, size_t width, size_t len)
{
	uint8_t tail[8] = { 0 };

	put32(tail, (uint32_t)len);
	tail[7] = 6;
	return sum_add(tail, 8, sum_add(to, width, sum_add(from, width, 0)));
}

static inline size_t put_options(const struct segment *s, uint8_t *at)
{
	uint8_t *p = at;

	if (s->mss) {
		memcpy(p, "\2\4", 2);
		put16(p + 2, s->mss);
		p += 4;
	}
	if (s->sack_ok)
		p = (uint8_t *)memcpy(p, "\4\2", 2) + 2;
	if (s->has_ts) {
		if (!s->packed_ts && (p - at) % 4 == 0)
			p = (uint8_t *)memcpy(p, "\1\1", 2) + 2;
		memcpy(p, "\x8\xa", 2);
		put32(p + 2, s->tsval);
		put32(p + 6, s->tsecr);
		p += 10;
	}
	if (s->scale >= 0) {
		memcpy(p, "\3\3", 2);
		p[2] = (uint8_t)s->scale;
		p += 3;
	}
	if (s->sacks) {
		*p++ = 5;
		*p++ = (uint8_t)(2 + 8 * s->sacks);
		for (unsigned i = 0; i < s->sacks; i++, p += 8) {
			put32(p, s->sack[i].left);
			put32(p + 4, s->sack[i].right);
		}
	}
	p = (uint8_t *)memcpy(p, s->odd, s->odd_len) + s->odd_len;
	while ((p - at) % 4)
		*p++ = s->packed_ts ? 0 : 1; /* both end a list of options: EOL, NOPs */
	return (size_t)(p - at);
}

static inline size_t put_ip(const struct wire *w, const struct segment *s, uint8_t *ip,
			    size_t tcp_len)
{
	size_t head = 20 + s->pad_v4;

	if (s->v6) {
		put32(ip, 6u << 28 | (uint32_t)s->ecn << 20);
		put16(ip + 4, (uint32_t)tcp_len);
		ip[6] = 6;
		ip[7] = 64;
		memcpy(ip + 8, w->remote[1], 16);
		memcpy(ip + 24, w->host[1], 16);
		return 40;
	}
	memset(ip, 0, 20);
	memset(ip + 20, 1, s->pad_v4);
	ip[0] = (uint8_t)(0x40 | head / 4);
	ip[1] = s->ecn;
	put16(ip + 2, (uint32_t)(head + tcp_len));
	put16(ip + 4, s->seq);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = 6;
	memcpy(ip + 12, w->remote[0], 4);
	memcpy(ip + 16, w->host[0], 4);
	put16(ip + 10, ~sum_add(ip, head, 0));
	return head;
}

static inline void put_tcp(const struct wire *w, const struct segment *s, uint8_t *tcp, size_t head)
{
	put16(tcp, s->remote_port);
	put16(tcp + 2, w->port);
	put32(tcp + 4, s->seq);
	put32(tcp + 8, s->ack);
	tcp[12] = (uint8_t)(head / 4 << 4);
	tcp[13] = s->flags;
	put16(tcp + 14, s->window);
	put16(tcp + 16, 0);
	put16(tcp + 18, s->urgent);
}

/* Returns the bytes to write to the device. */
static inline size_t segment_build(const struct wire *w, const struct segment *s, uint8_t *out)
{
	uint8_t *ip = out + (w->vnet ? sizeof(struct virtio_net_hdr) : 0) +
		      (w->ethernet ? ETH_LEN : 0);
	uint8_t *tcp = ip + (s->v6 ? 40 : 20 + s->pad_v4);
	size_t head = 20 + put_options(s, tcp + 20), width = s->v6 ? 16 : 4,
	       tcp_len = head + s->len;
	uint32_t pseudo = pseudo_sum(w->remote[s->v6], w->host[s->v6], width, tcp_len);

	put_ip(w, s, ip, tcp_len);
	put_tcp(w, s, tcp, head);
	if (s->len)
		memcpy(tcp + head, s->data, s->len);
	put16(tcp + 16, s->sum == SUM_PARTIAL ? pseudo : ~sum_add(tcp, tcp_len, pseudo));
	if (s->sum == SUM_WRONG)
		tcp[s->wrong_bit / 8 % tcp_len] ^= (uint8_t)(1 << s->wrong_bit % 8);
	if (w->ethernet) {
		memcpy(ip - ETH_LEN, w->host_mac, 6);
		memcpy(ip - 8, w->remote_mac, 6);
		put16(ip - 2, s->v6 ? 0x86dd : 0x0800);
	}
	if (w->vnet) {
		struct virtio_net_hdr hdr = { .flags = s->sum == SUM_PARTIAL
							       ? VIRTIO_NET_HDR_F_NEEDS_CSUM
							       : 0 };
		size_t l2 = w->ethernet ? ETH_LEN : 0;

		hdr.csum_start = s->sum == SUM_PARTIAL ? (uint16_t)(tcp - ip + l2) : 0;
		hdr.csum_offset = s->sum == SUM_PARTIAL ? 16 : 0;
		hdr.gso_type = !s->gso_size ? VIRTIO_NET_HDR_GSO_NONE
			       : s->v6      ? VIRTIO_NET_HDR_GSO_TCPV6
					    : VIRTIO_NET_HDR_GSO_TCPV4;
		hdr.gso_size = s->gso_size;
		hdr.hdr_len = s->gso_size ? (uint16_t)(tcp + head - ip + l2) : 0;
		memcpy(out, &hdr, sizeof(hdr));
	}
	return (size_t)(tcp + tcp_len - out);
}

static inline const char *parse_options(struct segment *s, const uint8_t *p, const uint8_t *end)
{
	while (p < end && *p) {
		size_t len = *p == 1 ? 1 : end - p < 2 ? 0 : p[1];

		if (!len || (*p != 1 && len < 2) || len > (size_t)(end - p))
			return "TCP options do not tile";
		if (*p == 2)
			s->mss = (uint16_t)get16(p + 2);
		else if (*p == 3)
			s->scale = p[2];
		else if (*p == 4)
			s->sack_ok = true;
		else if (*p == 5 && (len - 2) % 8)
			return "SACK option of a strange length";
		else if (*p == 5)
			for (s->sacks = 0; s->sacks < (len - 2) / 8; s->sacks++)
				s->sack[s->sacks] = (struct sack){ get32(p + 2 + 8 * s->sacks),
								   get32(p + 6 + 8 * s->sacks) };
		else if (*p == 8 && len == 10)
			s->has_ts = true, s->tsval = get32(p + 2), s->tsecr = get32(p + 6);
		else if (*p != 1)
			return "an option nobody asked for";
		p += len;
	}
	return NULL;
}

static inline const char *parse_tcp(const struct wire *w, struct segment *s, const uint8_t *tcp,
				    size_t len)
{
	size_t head = len < 20 ? 0 : (size_t)(tcp[12] >> 4) * 4;
	uint32_t pseudo = pseudo_sum(w->host[s->v6], w->remote[s->v6], s->v6 ? 16 : 4, len);

	if (head < 20 || head > len)
		return "TCP header of a wrong length";
	s->remote_port = (uint16_t)get16(tcp + 2);
	s->seq = get32(tcp + 4);
	s->ack = get32(tcp + 8);
	s->flags = tcp[13];
	s->window = (uint16_t)get16(tcp + 14);
	s->data = tcp + head;
	s->len = len - head;
	if (s->sum == SUM_PARTIAL ? get16(tcp + 16) != pseudo : sum_add(tcp, len, pseudo) != 0xffff)
		return s->sum == SUM_PARTIAL ? "wrong partial TCP checksum" : "wrong TCP checksum";
	return parse_options(s, tcp + 20, tcp + head);
}

/* Parse what was read from the device. Returns NULL, "" for what is not ours, or what is wrong with it. */
static inline const char *segment_parse(const struct wire *w, struct segment *s, const uint8_t *in,
					size_t len)
{
	const uint8_t *ip = in, *end = in + len, *tcp;
	struct virtio_net_hdr hdr = { 0 };

	*s = (struct segment){ .scale = -1 };
	if (w->vnet) {
		memcpy(&hdr, in, sizeof(hdr));
		ip += sizeof(hdr);
	}
	if (w->ethernet) {
		uint32_t type = get16(ip + 12);

		ip += ETH_LEN;
		if (type != 0x0800 && type != 0x86dd)
			return "";
	}
	s->v6 = ip[0] >> 4 == 6;
	s->gso_size = hdr.gso_size;
	s->sum = hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? SUM_PARTIAL : SUM_WHOLE;
	tcp = ip + (s->v6 ? 40 : (ip[0] & 15) * 4);
	if (end - ip < 40 || ip[s->v6 ? 6 : 9] != 6 || tcp + 20 > end)
		return "";
	if (memcmp(ip + (s->v6 ? 8 : 12), w->host[s->v6], s->v6 ? 16 : 4) || get16(tcp) != w->port)
		return "";
	if (s->v6 ? get16(ip + 4) != (size_t)(end - tcp) : get16(ip + 2) != (size_t)(end - ip))
		return "the IP header tells another length";
	if (!s->v6 && sum_add(ip, (size_t)(tcp - ip), 0) != 0xffff)
		return "wrong IP checksum";
	return parse_tcp(w, s, tcp, (size_t)(end - tcp));
}

#endif
