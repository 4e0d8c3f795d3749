// SPDX-License-Identifier: BSD-2-Clause
/* How connections end: FINs in each order, resets, the events with their bytes, and what is
 * still translated afterwards. */
#include "inline_script.h"

#define N LEN(HEADER_EVEN)

static const char stream[] = HEADER_EVEN "0123456789";

static void sent(uint32_t at, uint32_t heard, uint8_t flags, const char *bytes)
{
	struct segment in = sends(N + at, flags, bytes, strlen(bytes)), expect;

	in.ack += heard;
	expect = in;
	expect.seq -= N;
	in_passes(&in, &expect);
}

static void answered_with(uint32_t at, uint32_t heard, uint8_t flags, const char *bytes)
{
	struct segment out = answers(at, heard, flags, bytes, strlen(bytes)), expect = out;

	expect.ack += N;
	out_passes(&out, &expect);
}

static void client_first(void)
{
	opened(HEADER_EVEN, "0123456789");
	answered_with(0, 10, PSH | ACK, "answer");
	sent(10, 6, ACK | FIN, "");
	answered_with(6, 11, ACK, "");
	answered_with(6, 11, PSH | ACK, "more");
	sent(11, 10, ACK, "");
	answered_with(10, 11, ACK | FIN, "");
	assert_false(lab_event(false));
	sent(11, 11, ACK, "");
	ended_by(UP_END_CLIENT_FIN, 10, 10);
	assert_int_equal(STAT(ended), 1);
}

static void server_first(void)
{
	opened(HEADER_EVEN, "0123456789");
	answered_with(0, 10, PSH | ACK | FIN, "bye");
	sent(10, 4, ACK, "");
	sent(10, 4, PSH | ACK, "late");
	answered_with(4, 14, ACK, "");
	sent(14, 4, ACK | FIN, "");
	assert_false(lab_event(false));
	answered_with(4, 15, ACK, "");
	ended_by(UP_END_SERVER_FIN, 14, 3);
}

/* Told once, and what the host still says is translated: its RST is the sender's end. */
static void killed(void)
{
	assert_int_equal(lab_kill(), 0); /* no such flow */
	handshake();
	assert_int_equal(lab_kill(), 0); /* not open */
	lab_begin(lab.mode);
	opened(HEADER_EVEN, "0123456789");
	answered_with(0, 10, ACK, "");
	assert_int_equal(lab_kill(), 1);
	ended_by(UP_END_KILLED, 10, 0);
	assert_int_equal(lab_kill(), 0);
	answered_with(0, 10, RST | ACK, "");
	assert_false(lab_event(false));
}

static void at_once(void)
{
	opened(HEADER_EVEN, "0123456789");
	sent(10, 0, ACK | FIN, "");
	answered_with(0, 10, ACK | FIN, "");
	sent(11, 1, ACK, "");
	answered_with(1, 11, ACK, "");
	ended_by(UP_END_CLIENT_FIN, 10, 0);
}

/* Header, payload and FIN in one packet, as short-lived clients send them. */
static void fin_with_the_header(void)
{
	struct segment in, expect;

	handshake();
	in = sends(0, PSH | ACK | FIN, stream, LEN(stream));
	expect = moved(&in, 0, N);
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
	answered_with(0, 11, ACK, "");
	answered_with(0, 11, PSH | ACK | FIN, "bye");
	sent(11, 4, ACK, "");
	ended_by(UP_END_CLIENT_FIN, 10, 3);
}

static void fin_right_behind_the_header(void)
{
	struct segment in, expect;

	handshake();
	in = sends(0, PSH | ACK | FIN, stream, N);
	expect = moved(&in, 0, N);
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
	answered_with(0, 1, ACK | FIN, "");
	sent(1, 1, ACK, "");
	ended_by(UP_END_CLIENT_FIN, 0, 0);
}

static void fin_with_a_repeated_header(void)
{
	struct segment in, expect;

	open_with(HEADER_EVEN, "0123456789");
	in = sends(0, PSH | ACK | FIN, stream, LEN(stream));
	expect = moved(&in, 0, N);
	in_passes(&in, &expect);
	answered_with(0, 11, ACK | FIN, "");
	sent(11, 1, ACK, "");
	ended_by(UP_END_CLIENT_FIN, 10, 0);
}

/* The end is told once, and what is repeated afterwards is translated as before. */
static void repeated_after_the_end(void)
{
	client_first();
	answered_with(10, 11, ACK | FIN, "");
	sent(11, 11, ACK, "");
	sent(10, 11, ACK | FIN, "");
	assert_int_equal(STAT(ended), 1);
}

static void reset_by_client(void)
{
	opened(HEADER_EVEN, "0123456789");
	answered_with(0, 10, PSH | ACK, "answer");
	sent(10, 6, RST | ACK, "");
	ended_by(UP_END_CLIENT_RESET, 10, 6);
}

/* Right behind the header, before the host has said anything. */
static void reset_behind_the_header(void)
{
	struct segment in, expect;

	open_with(HEADER_EVEN, "");
	in = sends(0, 0, NULL, 0);
	expect = owns(&in, 0, N, ACK);
	replied(&expect);
	sent(0, 0, RST, "");
	ended_by(UP_END_CLIENT_RESET, 0, 0);
}

static void reset_by_server(void)
{
	struct segment out, expect;

	opened(HEADER_EVEN, "0123456789");
	answered_with(0, 10, RST | ACK, "");
	ended_by(UP_END_SERVER_RESET, 10, 0);
	/* Without an acknowledgement there is nothing to shift. */
	out = answers(0, 0, RST, NULL, 0);
	out.ack = 0;
	expect = out;
	out_passes(&out, &expect);
}

/* Acknowledgements of what was never sent move nothing; old ones neither. */
static void wild_acknowledgements(void)
{
	opened(HEADER_EVEN, "0123456789");
	answered_with(0, 10, PSH | ACK, "answer");
	sent(10, 6, ACK, "");
	sent(10, 0x70000000, ACK, "");
	sent(10, 3, ACK, "");
	answered_with(6, 0x70000000, ACK, "");
	answered_with(6, 4, ACK, "");
	sent(10, 6, RST | ACK, "");
	ended_by(UP_END_CLIENT_RESET, 10, 6);
}

/* More than 4 GiB each way. */
static void counted_beyond_32_bits(void)
{
	const uint32_t step = 1U << 29;

	opened(HEADER_EVEN, "0123456789");
	for (uint32_t i = 1; i <= 20; i++) {
		answered_with(i * step, 10 + i * step, ACK, "");
		sent(10 + i * step, i * step, ACK, "");
	}
	sent(10 + 20 * step, 20 * step, RST, "");
	ended_by(UP_END_CLIENT_RESET, 10 + 20ULL * step, 20ULL * step);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(client_first),
		LAB_TEST(server_first),
		LAB_TEST(killed),
		LAB_TEST(at_once),
		LAB_TEST(fin_with_the_header),
		LAB_TEST(fin_right_behind_the_header),
		LAB_TEST(fin_with_a_repeated_header),
		LAB_TEST(repeated_after_the_end),
		LAB_TEST(reset_by_client),
		LAB_TEST(reset_behind_the_header),
		LAB_TEST(reset_by_server),
		LAB_TEST(wild_acknowledgements),
		LAB_TEST(counted_beyond_32_bits),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
