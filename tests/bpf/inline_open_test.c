// SPDX-License-Identifier: BSD-2-Clause
/* An open connection: numbers moved both ways, header bytes that come again. */
#include "inline_script.h"

#define N LEN(HEADER_ODD)

static const char stream[] = HEADER_ODD "0123456789";

/* From the sender, behind the header, as both sides have it. */
static void passes_shifted(struct segment in)
{
	struct segment expect = in;

	expect.seq -= N;
	in_passes(&in, &expect);
}

static void answer_shifted(struct segment out)
{
	struct segment expect = out;

	expect.ack += N;
	out_passes(&out, &expect);
}

static void both_ways(void)
{
	open_with(HEADER_ODD, "0123456789");
	answer_shifted(answers(0, 10, ACK, NULL, 0));
	answer_shifted(answers(0, 10, PSH | ACK, "answer", 6));
	passes_shifted(sends(N + 10, PSH | ACK, "more", 4));
	passes_shifted(sends(N + 14, ACK, NULL, 0));
	answer_shifted(answers(6, 14, ACK, NULL, 0));
	assert_int_equal(STAT(header_repeats), 0);
}

/* Odd lengths, one more packet each, over the place where numbers wrap. */
static void around_the_wrap(void)
{
	static uint8_t bytes[100];

	opened(HEADER_ODD, "0123456789");
	for (uint32_t at = 10; at < 1000; at += 99)
		passes_shifted(sends(N + at, PSH | ACK, bytes, 99));
	for (uint32_t at = 0; at < 1000; at += 33)
		answer_shifted(answers(at, 10 + at, PSH | ACK, bytes, 33));
}

/* All of it again: until the host has acknowledged a byte it may not have the connection. */
static void repeated_before_the_host_answers(void)
{
	struct segment in, expect;

	open_with(HEADER_ODD, "0123456789");
	in = sends(0, PSH | ACK, stream, LEN(stream));
	expect = moved(&in, 0, N);
	in_passes(&in, &expect);
	in = sends(5, PSH | ACK, stream + 5, LEN(stream) - 5);
	expect = moved(&in, 0, N - 5);
	in_passes(&in, &expect);
	in = sends(N - 1, PSH | ACK, stream + N - 1, 11);
	expect = moved(&in, 0, 1);
	in_passes(&in, &expect);
	in = sends(0, PSH | ACK, stream, N);
	expect = answered(&in, PSH | ACK);
	in_passes(&in, &expect);
	expect = owns(&in, 0, N, ACK);
	replied(&expect);
	in = sends(3, PSH | ACK, stream, 7);
	expect = answered(&in, PSH | ACK);
	in_passes(&in, &expect);
	expect = owns(&in, 0, N, ACK);
	replied(&expect);
	assert_int_equal(STAT(header_repeats), 5);
}

/* Afterwards the host drops by itself what it has. */
static void repeated_afterwards(void)
{
	opened(HEADER_ODD, "0123456789");
	passes_shifted(sends(0, PSH | ACK, stream, LEN(stream)));
	passes_shifted(sends(3, PSH | ACK, stream + 3, 5));
	passes_shifted(sends(N + 9, ACK, NULL, 0));
	assert_int_equal(STAT(header_repeats), 0);
	no_reply();
}

/* One byte before what is acknowledged, with and without it. */
static void keepalive(void)
{
	struct segment in, expect;

	handshake();
	in = sends(0, PSH | ACK, HEADER_ODD, N);
	expect = answered(&in, PSH | ACK);
	in_passes(&in, &expect);
	expect = owns(&in, 0, N, ACK);
	replied(&expect);
	event_is(UP_EVENT_OPEN);
	for (uint32_t len = 0; len <= 1; len++) {
		in = sends(N - 1, ACK, stream + N - 1, len);
		expect = answered(&in, ACK);
		in_passes(&in, &expect);
		expect = owns(&in, 0, N, ACK);
		replied(&expect);
	}
	passes_shifted(sends(N, ACK, NULL, 0));
}

/* The engine's acknowledgement says what the host has said last. */
static void window_and_timestamps_followed(void)
{
	struct segment in, expect, out;

	open_with(HEADER_ODD, "");
	in = sends(0, 0, NULL, 0);
	expect = owns(&in, 0, N, ACK);
	replied(&expect);
	out = answers(0, 0, PSH | ACK, "220 hello\r\n", 11);
	out.window = 99;
	if (lab.mode->timestamps)
		put32(out.options + 4, TIME_HOST + 5);
	answer_shifted(out);
	in = sends(0, PSH | ACK, HEADER_ODD, N);
	in.ack += 11;
	expect = answered(&in, PSH | ACK);
	in_passes(&in, &expect);
	expect = owns(&in, 11, N, ACK);
	expect.window = 99;
	if (lab.mode->timestamps)
		put32(expect.options + 4, TIME_HOST + 5);
	replied(&expect);
}

static void selective_acknowledgements(void)
{
	const uint32_t from = lab.mode->start + 20;
	const uint32_t edges[] = { from,      from + 7,   from + 50, from + 60,
				   from + 90, from + 100, from - 20, from - 10 };

	opened(HEADER_ODD, "0123456789");
	for (size_t n = 2; n <= (lab.mode->timestamps ? 6 : 8); n += 2) {
		struct segment out = answers(0, 10, ACK, NULL, 0), expect;
		uint32_t shifted[8];

		for (size_t i = 0; i < n; i++)
			shifted[i] = edges[i] + N;
		expect = out;
		expect.ack += N;
		add_sack(&out, edges, n);
		add_sack(&expect, shifted, n);
		out_passes(&out, &expect);
	}
}

/* The first is what was received twice. */
static void duplicates_acknowledged(void)
{
	const uint32_t edges[] = { lab.mode->start, lab.mode->start + 10 };
	const uint32_t shifted[] = { lab.mode->start + N, lab.mode->start + N + 10 };
	struct segment out, expect;

	opened(HEADER_ODD, "0123456789");
	out = answers(0, 10, ACK, NULL, 0);
	expect = out;
	expect.ack += N;
	add_sack(&out, edges, 2);
	add_sack(&expect, shifted, 2);
	out_passes(&out, &expect);
}

/* The host did not get the handshake's end. It acknowledges the SYN alone. */
static void syn_ack_repeated(void)
{
	struct segment again = syn_ack();

	open_with(HEADER_ODD, "0123456789");
	out_passes(&again, &again);
	passes_shifted(sends(N + 10, ACK, NULL, 0));
}

static void every_data_offset(void)
{
	const uint8_t nops[40] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
				   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	size_t room = sizeof(nops) - sends(0, 0, NULL, 0).options_len;

	opened(HEADER_ODD, "0123456789");
	for (size_t n = 0; n <= room; n += 4) {
		struct segment in = sends(N + 10, PSH | ACK, "more", 4);
		struct segment out = answers(0, 10, PSH | ACK, "less", 4);

		add_options(&in, nops, n);
		add_options(&out, nops, n);
		passes_shifted(in);
		answer_shifted(out);
	}
}

static void segments_of_64k(void)
{
	static uint8_t bytes[64000];

	if (!lab.mode->device || lab.mode->sums != SUMS_PARTIAL)
		return;
	opened(HEADER_ODD, "0123456789");
	passes_shifted(sends(N + 10, PSH | ACK, bytes, sizeof(bytes)));
	answer_shifted(answers(0, 10, PSH | ACK, bytes, sizeof(bytes)));
}

/* A damaged packet stays damaged, and what we answer was not. */
static void damaged(void)
{
	static struct frame frame, out;
	struct segment in;

	if (lab.mode->sums != SUMS_NONE)
		return;
	open_with(HEADER_ODD, "0123456789");
	for (size_t at = 0; at < LEN(stream); at += 5) {
		in = sends(0, PSH | ACK, stream, LEN(stream));
		frame_make(&frame, &lab.wire, &in);
		frame.bytes[frame.data + at] ^= 4;
		if (lab_in(&frame, &out))
			assert_int_not_equal(tcp_sum(&out), 0xFFFF);
	}
	in = sends(0, PSH | ACK, stream, N);
	frame_make(&frame, &lab.wire, &in);
	frame.bytes[frame.l4 + 10] ^= 4;
	if (lab_in(&frame, &out))
		assert_int_not_equal(tcp_sum(&out), 0xFFFF);
	no_reply();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(both_ways),
		LAB_TEST(around_the_wrap),
		LAB_TEST(repeated_before_the_host_answers),
		LAB_TEST(repeated_afterwards),
		LAB_TEST(keepalive),
		LAB_TEST(window_and_timestamps_followed),
		LAB_TEST(selective_acknowledgements),
		LAB_TEST(duplicates_acknowledged),
		LAB_TEST(syn_ack_repeated),
		LAB_TEST(every_data_offset),
		LAB_TEST(segments_of_64k),
		LAB_TEST(damaged),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
