// SPDX-License-Identifier: BSD-2-Clause
/* The header's phase: from the handshake's last packet to the header's last byte. */
#include <stdio.h>
#include <stdlib.h>

#include "inline_script.h"

static const char both[] = HEADER_ODD "GET / HTTP/1.1\r\n\r\n";
static const char even[] = HEADER_EVEN "hello";
static const char alone[] = HEADER_EVEN;

static void with_payload(void)
{
	struct segment in, expect;

	handshake();
	in = sends(0, PSH | ACK, both, LEN(both));
	expect = moved(&in, 0, LEN(HEADER_ODD));
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
	assert_int_equal(lab.event.header_len, LEN(HEADER_ODD));
	assert_memory_equal(lab.event_header, HEADER_ODD, LEN(HEADER_ODD));
	assert_int_equal(lab.event.client.port, 1000);
	assert_int_equal(lab.event.destination.port, 80);
	assert_int_equal(lab.event.version, 1);
	assert_int_equal(STAT(opened), 1);
	assert_int_equal(STAT(acks_sent), 0);
}

static void even_length(void)
{
	struct segment in, expect;

	handshake();
	in = sends(0, PSH | ACK, even, LEN(even));
	expect = moved(&in, 0, LEN(HEADER_EVEN));
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
}

/* Nothing is left: the host gets the handshake's last packet, the sender an answer. */
static void without_payload(void)
{
	struct segment in, expect;

	handshake();
	in = sends(0, PSH | ACK, alone, LEN(alone));
	expect = answered(&in, PSH | ACK);
	in_passes(&in, &expect);
	expect = owns(&in, 0, LEN(alone), ACK);
	replied(&expect);
	event_is(UP_EVENT_OPEN);
	assert_int_equal(STAT(acks_sent), 1);
}

static void acknowledgement_held(void)
{
	struct segment in;

	handshake();
	in = sends(0, ACK, NULL, 0);
	in_drops(&in);
	in_drops(&in);
	assert_int_equal(STAT(acks_held), 2);
}

/* A keepalive probe is one byte before, without payload. */
static void probe_held(void)
{
	struct segment in;

	handshake();
	in = sends((uint32_t)-1, ACK, NULL, 0);
	in_drops(&in);
}

static void wrong_acknowledgement(void)
{
	struct segment in;

	handshake();
	in = sends(0, PSH | ACK, both, LEN(both));
	in.ack++;
	in_drops(&in);
	in.ack = lab.mode->down - 1;
	in_drops(&in);
	in.ack = lab.mode->down;
	in.flags = PSH;
	in_drops(&in);
	assert_int_equal(STAT(out_of_order), 3);
	assert_int_equal(flow_is(), UP_FLOW_HEADER);
}

/* A packet of a handshake that the host has not answered. */
static void before_the_answer(void)
{
	struct segment first = syn(), in = sends(0, PSH | ACK, both, LEN(both));

	in_passes(&first, &first);
	in_drops(&in);
	assert_int_equal(STAT(out_of_order), 1);
}

static void out_of_order(uint32_t at, const char *bytes, uint32_t len, uint32_t got)
{
	struct segment in = sends(at, PSH | ACK, bytes, len), expect;

	in_drops(&in);
	expect = owns(&in, 0, got, ACK); /* for a fast retransmission */
	replied(&expect);
}

static void gap(void)
{
	struct segment in, expect;

	handshake();
	out_of_order(1, both + 1, LEN(both) - 1, 0);
	out_of_order(LEN(both), "more", 4, 0);
	out_of_order((uint32_t)-5, both, LEN(both), 0);
	assert_int_equal(STAT(out_of_order), 3);
	in = sends(0, PSH | ACK, both, LEN(both));
	expect = moved(&in, 0, LEN(HEADER_ODD));
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
}

static void kept(uint32_t at, uint32_t len, uint32_t got)
{
	struct segment in = sends(at, PSH | ACK, both + at, len), expect;

	in_drops(&in);
	expect = owns(&in, 0, got, ACK);
	replied(&expect);
}

static void two_parts(void)
{
	for (uint32_t split = 1; split < LEN(HEADER_ODD); split++) {
		struct segment in, expect;

		handshake();
		kept(0, split, split);
		in = sends(split, PSH | ACK, both + split, LEN(both) - split);
		expect = moved(&in, 0, LEN(HEADER_ODD) - split);
		in_passes(&in, &expect);
		event_is(UP_EVENT_OPEN);
		assert_memory_equal(lab.event_header, HEADER_ODD, LEN(HEADER_ODD));
		lab_begin(lab.mode);
	}
}

static void byte_by_byte(void)
{
	struct segment in, expect;
	uint32_t last = LEN(HEADER_ODD) - 1;

	handshake();
	for (uint32_t i = 0; i < last; i++)
		kept(i, 1, i + 1);
	assert_int_equal(STAT(parts), last);
	in = sends(last, ACK, both + last, 1);
	expect = answered(&in, ACK);
	in_passes(&in, &expect);
	expect = owns(&in, 0, LEN(HEADER_ODD), ACK);
	replied(&expect);
	event_is(UP_EVENT_OPEN);
	assert_memory_equal(lab.event_header, HEADER_ODD, LEN(HEADER_ODD));
}

static void repeated_and_overlapping(void)
{
	struct segment in, expect;

	handshake();
	kept(0, 10, 10);
	kept(0, 10, 10);
	kept(3, 4, 10);
	assert_int_equal(STAT(header_repeats), 2);
	kept(5, 10, 15);
	kept(0, 20, 20);
	out_of_order(21, both + 21, 5, 20);
	in = sends(7, PSH | ACK, both + 7, LEN(both) - 7);
	expect = moved(&in, 0, LEN(HEADER_ODD) - 7);
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
	assert_memory_equal(lab.event_header, HEADER_ODD, LEN(HEADER_ODD));
}

/* Version 2, one TLV that does nothing, of any length. */
static uint32_t long_header(uint8_t *bytes, uint32_t len)
{
	static const uint8_t begin[] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I',
					 'T',  '\n', 0x21, 0x11, 0, 0,    192,  0,   2,   1,
					 198,  51,   100,  2,    3, 232,  0,    80,  4 };

	memset(bytes, 'x', len);
	memcpy(bytes, begin, sizeof(begin));
	put16(bytes + 14, len - 16);
	put16(bytes + 29, len - 31);
	return len;
}

static void longest(void)
{
	static uint8_t bytes[8192];
	struct segment in, expect;

	long_header(bytes, UP_INLINE_HEADER_MAX);
	memcpy(bytes + UP_INLINE_HEADER_MAX, "payload", 7);
	handshake();
	for (uint32_t at = 0; at < 3000; at += 1500) {
		in = sends(at, ACK, bytes + at, 1500);
		in_drops(&in);
		expect = owns(&in, 0, at + 1500, ACK);
		replied(&expect);
	}
	in = sends(3000, PSH | ACK, bytes + 3000, UP_INLINE_HEADER_MAX - 3000 + 7);
	expect = moved(&in, 0, UP_INLINE_HEADER_MAX - 3000);
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
	assert_int_equal(lab.event.header_len, UP_INLINE_HEADER_MAX);
	assert_int_equal(lab.event.tlv_at, 28);
	assert_int_equal(lab.event.tlv_len, UP_INLINE_HEADER_MAX - 28);
	assert_memory_equal(lab.event_header, bytes, UP_INLINE_HEADER_MAX);
}

/* One packet holds more than is taken at once. Test runs have no room for it. */
static void longest_in_one(void)
{
	static uint8_t bytes[8192];
	struct segment in, expect;

	if (!lab.mode->device)
		return;
	long_header(bytes, UP_INLINE_HEADER_MAX);
	handshake();
	in = sends(0, PSH | ACK, bytes, 6000);
	in_drops(&in);
	expect = owns(&in, 0, UP_INLINE_TAKE, ACK);
	replied(&expect);
	expect = moved(&in, 0, UP_INLINE_HEADER_MAX);
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
	assert_memory_equal(lab.event_header, bytes, UP_INLINE_HEADER_MAX);
}

/* 64 KiB in one packet, to be cut into segments later on. */
static void before_64k(void)
{
	static uint8_t bytes[64000];
	const uint32_t lens[] = { LEN(HEADER_ODD), LEN(HEADER_EVEN), 31, 1000, 3333, 3584 };

	if (!lab.mode->device)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct segment in, expect;

		for (size_t at = 0; at < sizeof(bytes); at++)
			bytes[at] = (uint8_t)(at * 7 + at / 251);
		if (lens[i] == LEN(HEADER_ODD))
			memcpy(bytes, HEADER_ODD, lens[i]);
		else if (lens[i] == LEN(HEADER_EVEN))
			memcpy(bytes, HEADER_EVEN, lens[i]);
		else
			long_header(bytes, lens[i]);
		handshake();
		in = sends(0, PSH | ACK, bytes, sizeof(bytes));
		expect = moved(&in, 0, lens[i]);
		in_passes(&in, &expect);
		event_is(UP_EVENT_OPEN);
		lab_begin(lab.mode);
	}
}

static void last_byte_is_fin(void)
{
	struct segment in, expect;

	handshake();
	in = sends(0, PSH | ACK | FIN, alone, LEN(alone));
	expect = moved(&in, 0, LEN(alone));
	in_passes(&in, &expect);
	no_reply(); /* the host answers a FIN by itself */
	event_is(UP_EVENT_OPEN);
}

static void payload_and_fin(void)
{
	struct segment in, expect;

	handshake();
	in = sends(0, PSH | ACK | FIN, both, LEN(both));
	expect = moved(&in, 0, LEN(HEADER_ODD));
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
}

/* Whatever options and data offset the sender uses. */
static void every_data_offset(void)
{
	const uint8_t nops[40] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
				   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	size_t room = sizeof(nops) - sends(0, 0, NULL, 0).options_len;

	for (size_t n = 0; n <= room; n += 4) {
		struct segment in, expect;

		handshake();
		in = sends(0, PSH | ACK, both, LEN(both));
		add_options(&in, nops, n);
		expect = moved(&in, 0, LEN(HEADER_ODD));
		in_passes(&in, &expect);
		event_is(UP_EVENT_OPEN);
		lab_begin(lab.mode);
		handshake();
		in = sends(0, PSH | ACK, alone, LEN(alone));
		add_options(&in, nops, n);
		expect = answered(&in, PSH | ACK);
		in_passes(&in, &expect);
		event_is(UP_EVENT_OPEN);
		expect = owns(&in, 0, LEN(alone), ACK);
		replied(&expect);
		lab_begin(lab.mode);
	}
}

static void ip_options_and_extensions(void)
{
	for (size_t n = 8; n <= 40; n += 8) {
		struct segment in, expect;

		lab.wire.ip_options = lab.mode->version == 4 ? n : 0;
		lab.wire.extensions = lab.mode->version == 6 ? n : 0;
		handshake();
		kept(0, 9, 9);
		in = sends(9, PSH | ACK, both + 9, LEN(both) - 9);
		expect = moved(&in, 0, LEN(HEADER_ODD) - 9);
		in_passes(&in, &expect);
		event_is(UP_EVENT_OPEN);
		lab_begin(lab.mode);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(with_payload),
		LAB_TEST(even_length),
		LAB_TEST(without_payload),
		LAB_TEST(acknowledgement_held),
		LAB_TEST(probe_held),
		LAB_TEST(wrong_acknowledgement),
		LAB_TEST(before_the_answer),
		LAB_TEST(gap),
		LAB_TEST(two_parts),
		LAB_TEST(byte_by_byte),
		LAB_TEST(repeated_and_overlapping),
		LAB_TEST(longest),
		LAB_TEST(longest_in_one),
		LAB_TEST(before_64k),
		LAB_TEST(last_byte_is_fin),
		LAB_TEST(payload_and_fin),
		LAB_TEST(every_data_offset),
		LAB_TEST(ip_options_and_extensions),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
