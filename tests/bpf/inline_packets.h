/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP packets built from scratch, and their checksums worked out here, apart from the
 * programs' own arithmetic: what goes into the inline engine, and what must come out.
 */
#ifndef TESTS_BPF_INLINE_PACKETS_H
#define TESTS_BPF_INLINE_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/if_ether.h>
#include <netinet/in.h>

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20

/* Last byte of 02:00:00:00:00:00. */
#define MAC_SENDER 1
#define MAC_HOST 2

#define TTL_REMOTE 57 /* of what comes from afar */
#define TTL_OWN 64

/* What stands around a segment. */
struct wire {
	int version;
	bool l3;           /* without an Ethernet header */
	bool from_host;    /* from our side to the remote one */
	size_t ip_options; /* bytes, IPv4 */
	size_t extensions; /* bytes of an IPv6 header of destination options; of 8 */
	uint16_t fragment; /* IPv4: flags and offset; IPv6: a fragment header with this offset */
	uint8_t remote[16], local[16]; /* IPv4 mapped */
	uint16_t remote_port, local_port;
};

struct segment {
	uint32_t seq, ack;
	uint8_t flags, ttl; /* ttl 0: as the way has it */
	uint16_t window, urgent;
	uint8_t options[40];
	size_t options_len;
	const uint8_t *payload;
	size_t len;
};

struct frame {
	uint8_t bytes[66000];
	size_t net, l4, data, len; /* len without what Ethernet pads */
};

/* Sum of 16-bit words in network order, folded, on top of sum. */
uint32_t words(const uint8_t *bytes, size_t len, uint32_t sum);

void put16(uint8_t *at, size_t value);
void put32(uint8_t *at, uint32_t value);

/* 10.0.0.1 and 10.0.0.2, or fd00::1 and fd00::2; ports 40000 and local_port. */
struct wire wire_of(int version, uint16_t local_port);

/* Of the pseudo header alone, and over what stands in the frame, its checksum field
 * included: 0xFFFF is right. */
uint32_t pseudo_sum(const struct frame *frame);
uint32_t tcp_sum(const struct frame *frame);

void frame_make(struct frame *frame, const struct wire *wire, const struct segment *segment);

/* Write the TCP checksum anew. */
void frame_seal(struct frame *frame);

/* Options: NOP, NOP, timestamps; at the end of those that are there. */
void add_timestamps(struct segment *segment, uint32_t value, uint32_t echo);

/* NOP, NOP, SACK with the given edges (from, to; from, to ...). */
void add_sack(struct segment *segment, const uint32_t *edges, size_t n);

/* Any bytes; the caller pads to a multiple of four. */
void add_options(struct segment *segment, const void *bytes, size_t len);

/* The bytes differ: both are printed, field by field. */
void assert_frames_equal(const struct frame *got, const struct frame *expect);

#endif
