// SPDX-License-Identifier: BSD-2-Clause
#include "inline_packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define IPV6_LEN 40
#define FRAGMENT_LEN 8

uint32_t words(const uint8_t *bytes, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xFFFF) + (sum >> 16);
	}
	return sum;
}

void put16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xFFFF);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

struct wire wire_of(int version, uint16_t local_port)
{
	static const uint8_t mapped[12] = { [10] = 0xFF, 0xFF };
	struct wire wire = { .version = version,
			     .remote = { 0xFD, [15] = 1 },
			     .local = { 0xFD, [15] = 2 },
			     .remote_port = 40000,
			     .local_port = local_port };

	if (version == 6)
		return wire;
	memcpy(wire.remote, mapped, sizeof(mapped));
	memcpy(wire.local, mapped, sizeof(mapped));
	memcpy(wire.remote + 12, (uint8_t[]){ 10, 0, 0, 1 }, 4);
	memcpy(wire.local + 12, (uint8_t[]){ 10, 0, 0, 2 }, 4);
	return wire;
}

uint32_t pseudo_sum(const struct frame *frame)
{
	const uint8_t *ip = frame->bytes + frame->net;
	size_t len = frame->len - frame->l4;
	bool v4 = ip[0] >> 4 == 4;

	return words(ip + (v4 ? 12 : 8), v4 ? 8 : 32, (uint32_t)len + IPPROTO_TCP);
}

uint32_t tcp_sum(const struct frame *frame)
{
	return words(frame->bytes + frame->l4, frame->len - frame->l4, pseudo_sum(frame));
}

void frame_seal(struct frame *frame)
{
	uint8_t *check = frame->bytes + frame->l4 + 16;

	put16(check, 0);
	put16(check, ~tcp_sum(frame) & 0xFFFF);
}

/* What an IP packet says of its length: nothing beyond 64 KiB. */
static size_t said(size_t len)
{
	return len > 0xFFFF ? 0 : len;
}

static void fill_ipv4(struct frame *frame, const struct wire *wire, uint8_t ttl)
{
	uint8_t *ip = frame->bytes + frame->net;

	ip[0] = (uint8_t)(0x45 + wire->ip_options / 4);
	put16(ip + 2, said(frame->len - frame->net));
	put16(ip + 4, 0x1234);
	put16(ip + 6, wire->fragment);
	ip[8] = ttl;
	ip[9] = IPPROTO_TCP;
	memcpy(ip + 12, (wire->from_host ? wire->local : wire->remote) + 12, 4);
	memcpy(ip + 16, (wire->from_host ? wire->remote : wire->local) + 12, 4);
	memset(ip + 20, 1, wire->ip_options);
	put16(ip + 10, ~words(ip, 20 + wire->ip_options, 0) & 0xFFFF);
}

static void fill_ipv6(struct frame *frame, const struct wire *wire, uint8_t ttl)
{
	uint8_t *ip = frame->bytes + frame->net, *next = ip + 6, *at = ip + IPV6_LEN;

	ip[0] = 0x60;
	put16(ip + 4, said(frame->len - frame->net - IPV6_LEN));
	ip[7] = ttl;
	memcpy(ip + 8, wire->from_host ? wire->local : wire->remote, 16);
	memcpy(ip + 24, wire->from_host ? wire->remote : wire->local, 16);
	if (wire->extensions) {
		*next = IPPROTO_DSTOPTS;
		at[1] = (uint8_t)(wire->extensions / 8 - 1);
		at[2] = 1; /* PadN */
		at[3] = (uint8_t)(wire->extensions - 4);
		next = at;
		at += wire->extensions;
	}
	if (wire->fragment) {
		*next = IPPROTO_FRAGMENT;
		put16(at + 2, wire->fragment);
		next = at;
	}
	*next = IPPROTO_TCP;
}

static void fill_ethernet(struct frame *frame, const struct wire *wire)
{
	uint8_t near = wire->from_host ? MAC_HOST : MAC_SENDER;
	uint8_t far = wire->from_host ? MAC_SENDER : MAC_HOST;

	memcpy(frame->bytes, (uint8_t[]){ 2, 0, 0, 0, 0, far }, ETH_ALEN);
	memcpy(frame->bytes + ETH_ALEN, (uint8_t[]){ 2, 0, 0, 0, 0, near }, ETH_ALEN);
	put16(frame->bytes + 12, wire->version == 4 ? ETH_P_IP : ETH_P_IPV6);
}

static size_t ip_len(const struct wire *wire)
{
	if (wire->version == 4)
		return 20 + wire->ip_options;
	return IPV6_LEN + wire->extensions + (wire->fragment ? FRAGMENT_LEN : 0);
}

void frame_make(struct frame *frame, const struct wire *wire, const struct segment *segment)
{
	uint8_t ttl = segment->ttl ? segment->ttl : wire->from_host ? TTL_OWN : TTL_REMOTE;
	uint8_t *tcp;

	frame->net = wire->l3 ? 0 : ETH_HLEN;
	frame->l4 = frame->net + ip_len(wire);
	frame->data = frame->l4 + 20 + segment->options_len;
	frame->len = frame->data + segment->len;
	assert_true(frame->len <= sizeof(frame->bytes));
	assert_int_equal(segment->options_len % 4, 0);
	memset(frame->bytes, 0, frame->data);
	if (!wire->l3)
		fill_ethernet(frame, wire);
	if (wire->version == 4)
		fill_ipv4(frame, wire, ttl);
	else
		fill_ipv6(frame, wire, ttl);
	tcp = frame->bytes + frame->l4;
	put16(tcp, wire->from_host ? wire->local_port : wire->remote_port);
	put16(tcp + 2, wire->from_host ? wire->remote_port : wire->local_port);
	put32(tcp + 4, segment->seq);
	put32(tcp + 8, segment->ack);
	tcp[12] = (uint8_t)((5 + segment->options_len / 4) << 4);
	tcp[13] = segment->flags;
	put16(tcp + 14, segment->window);
	put16(tcp + 18, segment->urgent);
	memcpy(tcp + 20, segment->options, segment->options_len);
	if (segment->len)
		memcpy(frame->bytes + frame->data, segment->payload, segment->len);
	frame_seal(frame);
	assert_int_equal(tcp_sum(frame), 0xFFFF);
}

void add_options(struct segment *segment, const void *bytes, size_t len)
{
	assert_true(segment->options_len + len <= sizeof(segment->options));
	memcpy(segment->options + segment->options_len, bytes, len);
	segment->options_len += len;
}

void add_timestamps(struct segment *segment, uint32_t value, uint32_t echo)
{
	uint8_t option[12] = { 1, 1, 8, 10 };

	put32(option + 4, value);
	put32(option + 8, echo);
	add_options(segment, option, sizeof(option));
}

void add_sack(struct segment *segment, const uint32_t *edges, size_t n)
{
	uint8_t option[36] = { 1, 1, 5, (uint8_t)(2 + 4 * n) };

	for (size_t i = 0; i < n; i++)
		put32(option + 4 + 4 * i, edges[i]);
	add_options(segment, option, 4 + 4 * n);
}

static void describe(const char *name, const struct frame *frame)
{
	const uint8_t *tcp = frame->bytes + frame->l4;

	print_message("%s: %zu bytes, ports %u > %u, seq %08x ack %08x flags %02x window %u "
		      "check %04x urgent %u, payload %zu\n",
		      name, frame->len, get16(tcp), get16(tcp + 2), get32(tcp + 4), get32(tcp + 8),
		      tcp[13], get16(tcp + 14), get16(tcp + 16), get16(tcp + 18),
		      frame->len - frame->data);
}

void assert_frames_equal(const struct frame *got, const struct frame *expect)
{
	struct frame shown = *got;

	if (got->len == expect->len && !memcmp(got->bytes, expect->bytes, expect->len))
		return;
	shown.net = expect->net; /* where they are, if it is the packet that it should be */
	shown.l4 = expect->l4;
	shown.data = expect->data;
	describe("got", &shown);
	describe("expected", expect);
	assert_int_equal(got->len, expect->len);
	for (size_t i = 0; i < expect->len; i++)
		if (got->bytes[i] != expect->bytes[i]) {
			print_message("first difference at byte %zu (tcp %+zd): %02x, not %02x\n",
				      i, (ssize_t)i - (ssize_t)expect->l4, got->bytes[i],
				      expect->bytes[i]);
			break;
		}
	fail_msg("the packet is another one");
}
