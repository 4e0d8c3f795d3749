// SPDX-License-Identifier: BSD-2-Clause
/* Connections that the app never sees, those that need no header, and damaged packets. */
#include "inline_script.h"

static const char bad[] = "PROXY TCP4 192.0.2.1 198.51.100.2 1000 080\r\n";
static const char plain[] = "GET / HTTP/1.1\r\n\r\n";

static void optional(void)
{
	lab.options = UP_FLOW_OPTIONAL;
	lab_listen();
}

/* RST both ways, and whatever comes later is answered in the same manner. */
static void refused_with(const char *bytes, size_t len, uint8_t flags, enum up_reason reason)
{
	struct segment in = sends(0, flags, bytes, len), expect;
	uint32_t end = (uint32_t)len + !!(flags & FIN);

	both_reset(&in, 0, end);
	refused_for(reason);
	in = sends(end, PSH | ACK, "more", 4);
	both_reset(&in, 0, end + 4);
	in = sends(end, RST | ACK, NULL, 0);
	expect = answered(&in, RST);
	in_passes(&in, &expect);
	assert_int_equal(STAT(resets_sent), 2);
	assert_int_equal(STAT(refused), 1);
}

static void kept(const char *bytes, uint32_t len)
{
	struct segment in = sends(0, PSH | ACK, bytes, len), expect;

	handshake();
	in_drops(&in);
	expect = owns(&in, 0, len, ACK);
	replied(&expect);
}

static void invalid(void)
{
	handshake();
	refused_with(bad, LEN(bad), PSH | ACK, UP_REASON_V1_PORT);
}

static void no_header(void)
{
	handshake();
	refused_with(plain, LEN(plain), PSH | ACK, UP_REASON_NO_HEADER);
}

static void invalid_after_a_part(void)
{
	struct segment in;

	kept(bad, 20);
	in = sends(20, PSH | ACK, bad + 20, LEN(bad) - 20);
	both_reset(&in, 0, LEN(bad));
	refused_for(UP_REASON_V1_PORT);
}

static void too_long(void)
{
	lab.header_max = LEN(HEADER_ODD) - 1;
	lab_listen();
	handshake();
	refused_with(HEADER_ODD, LEN(HEADER_ODD), PSH | ACK, UP_REASON_TOO_LONG);
}

/* A health check opens and closes: it is answered in peace, and the app sees nothing. */
static void closed_before_the_header(void)
{
	struct segment in, expect, reply;

	handshake();
	in = sends(0, ACK | FIN, NULL, 0);
	expect = answered(&in, RST);
	in_passes(&in, &expect);
	reply = owns(&in, 0, 1, FIN | ACK);
	replied(&reply);
	refused_for(UP_REASON_EMPTY);
	in_passes(&in, &expect); /* our answer was lost */
	replied(&reply);
	in = sends(1, ACK, NULL, 0);
	in.ack++;
	expect = answered(&in, RST);
	in_passes(&in, &expect);
}

static void closed_in_the_header(void)
{
	handshake();
	refused_with(HEADER_ODD, 20, PSH | ACK | FIN, UP_REASON_TRUNCATED);
}

static void closed_behind_a_part(void)
{
	struct segment in;

	kept(HEADER_ODD, 20);
	in = sends(20, ACK | FIN, NULL, 0);
	both_reset(&in, 0, 21);
	refused_for(UP_REASON_TRUNCATED);
}

static void reset_before_the_header(void)
{
	struct segment in, expect;

	handshake();
	in = sends(65536, RST, NULL, 0); /* beyond the window */
	in_drops(&in);
	assert_int_equal(flow_is(), UP_FLOW_HEADER);
	in = sends(0, RST | ACK, NULL, 0);
	expect = answered(&in, RST);
	in_passes(&in, &expect);
	refused_for(UP_REASON_EMPTY);
}

static void reset_in_the_header(void)
{
	struct segment in, expect;

	kept(HEADER_ODD, 20);
	in = sends(20, RST, NULL, 0);
	expect = answered(&in, RST);
	in_passes(&in, &expect);
	refused_for(UP_REASON_RESET);
}

/* The host repeats its SYN-ACK, and cannot know: it hears, and the sender too, that the
 * connection was refused. */
static void host_repeats(void)
{
	struct segment again = syn_ack(), expect = syn_ack();

	handshake();
	refused_with(plain, LEN(plain), PSH | ACK, UP_REASON_NO_HEADER);
	expect.seq++;
	expect.flags = RST | ACK;
	expect.window = 0;
	out_passes(&again, &expect);
	expect = again;
	expect.seq = lab.mode->start;
	expect.flags = RST;
	expect.window = 0;
	expect.ttl = TTL_OWN;
	host_gets(&expect);
	again = answers(0, 0, ACK, NULL, 0);
	out_passes(&again, &again);
}

static void sender_repeats_syn(void)
{
	struct segment again = syn(), expect;

	handshake();
	refused_with(plain, LEN(plain), PSH | ACK, UP_REASON_NO_HEADER);
	expect = answered(&again, RST);
	in_passes(&again, &expect);
	expect = owns(&again, 0, 0, RST | ACK);
	expect.seq = 0;
	replied(&expect);
}

static void nobody_listens(void)
{
	struct segment in = syn(), out = answers(0, 0, RST | ACK, NULL, 0);

	in_passes(&in, &in);
	out.seq = 0;
	out_passes(&out, &out);
	refused_for(UP_REASON_NO_BACKEND);
}

static void wait_for(enum up_flow_event_kind kind)
{
	assert_true(lab_event(true));
	assert_int_equal(lab.event.kind, kind);
}

/* The sender is there, and says nothing. */
static void heard(void)
{
	struct segment in = sends(0, ACK, NULL, 0);

	handshake();
	in_drops(&in);
}

/* The timer refuses; the sender hears of it with the next packet of either side. */
static void header_too_late(void)
{
	struct segment in;

	heard();
	lab_expire();
	wait_for(UP_EVENT_REFUSED);
	assert_int_equal(lab.event.reason, UP_REASON_TIMEOUT);
	assert_int_equal(flow_is(), UP_FLOW_REFUSED);
	in = sends(0, PSH | ACK, HEADER_ODD, LEN(HEADER_ODD));
	both_reset(&in, 0, LEN(HEADER_ODD));
}

static void optional_and_nothing_came(void)
{
	struct segment in;

	optional();
	heard();
	lab_expire();
	wait_for(UP_EVENT_OPEN);
	assert_int_equal(lab.event.header_len, 0);
	assert_int_equal(lab.event.version, 0);
	assert_int_equal(flow_is(), UP_FLOW_OPEN);
	in = sends(0, ACK, NULL, 0);
	in_passes(&in, &in);
	in = answers(0, 0, PSH | ACK, "220 hello\r\n", 11);
	out_passes(&in, &in);
}

static void optional_and_absent(void)
{
	struct segment in;

	optional();
	handshake();
	in = sends(0, PSH | ACK, plain, LEN(plain));
	in_passes(&in, &in);
	event_is(UP_EVENT_OPEN);
	assert_int_equal(lab.event.header_len, 0);
	in = answers(0, 5, ACK, NULL, 0);
	out_passes(&in, &in);
	assert_int_equal(STAT(plain), 1);
}

/* What we have acknowledged looked like a header, and is the stream's after all. */
static void optional_with_kept_bytes(void)
{
	static const char stream[] = "PROPFIND / HTTP/1.1\r\n\r\n";

	for (uint32_t split = 1; split <= 3; split++) {
		struct segment in, expect;

		optional();
		kept(stream, split);
		in = sends(split, PSH | ACK | FIN, stream + split, LEN(stream) - split);
		expect = sends(0, PSH | ACK, stream, split);
		in_passes(&in, &expect);
		event_is(UP_EVENT_OPEN);
		in_passes(&in, &in);
		lab_begin(lab.mode);
	}
}

static void optional_but_invalid(void)
{
	optional();
	handshake();
	refused_with(bad, LEN(bad), PSH | ACK, UP_REASON_V1_PORT);
}

static void optional_and_present(void)
{
	optional();
	open_with(HEADER_EVEN, "payload");
}

/* Nothing is believed that stands in a damaged packet. */
static void damaged(void)
{
	static struct frame frame, out;
	struct segment in;

	if (lab.mode->sums != SUMS_NONE && lab.mode->sums != SUMS_COMPLETE)
		return;
	handshake();
	in = sends(0, PSH | ACK, HEADER_ODD "x", LEN(HEADER_ODD) + 1);
	for (size_t at = 0; at < LEN(HEADER_ODD); at += 5) {
		frame_make(&frame, &lab.wire, &in);
		frame.bytes[frame.data + at] ^= 4;
		assert_false(lab_in(&frame, &out));
	}
	assert_int_equal(STAT(bad_checksum), (LEN(HEADER_ODD) + 4) / 5);
	in = sends(0, RST, NULL, 0);
	frame_make(&frame, &lab.wire, &in);
	frame.bytes[frame.l4 + 15] ^= 1;
	assert_false(lab_in(&frame, &out));
	assert_int_equal(flow_is(), UP_FLOW_HEADER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(invalid),
		LAB_TEST(no_header),
		LAB_TEST(invalid_after_a_part),
		LAB_TEST(too_long),
		LAB_TEST(closed_before_the_header),
		LAB_TEST(closed_in_the_header),
		LAB_TEST(closed_behind_a_part),
		LAB_TEST(reset_before_the_header),
		LAB_TEST(reset_in_the_header),
		LAB_TEST(host_repeats),
		LAB_TEST(sender_repeats_syn),
		LAB_TEST(nobody_listens),
		LAB_TEST(header_too_late),
		LAB_TEST(optional_and_nothing_came),
		LAB_TEST(optional_and_absent),
		LAB_TEST(optional_with_kept_bytes),
		LAB_TEST(optional_but_invalid),
		LAB_TEST(optional_and_present),
		LAB_TEST(damaged),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
