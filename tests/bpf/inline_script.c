// SPDX-License-Identifier: BSD-2-Clause
#include "inline_script.h"

#include <stdio.h>

#include "inline_devices.h"

#define SCALE 3

static struct wire way_of(bool from_host, bool app_side)
{
	struct wire wire = lab.wire;

	wire.from_host = from_host;
	if (app_side && lab.mode->moved)
		wire.local_port = APP_PORT;
	return wire;
}

struct segment sends(uint32_t at, uint8_t flags, const void *payload, size_t len)
{
	struct segment segment = { .seq = lab.mode->start + at,
				   .ack = lab.mode->down,
				   .flags = flags,
				   .window = WINDOW_SENDER,
				   .payload = payload,
				   .len = len };

	if (lab.mode->timestamps)
		add_timestamps(&segment, TIME_SENDER, TIME_HOST);
	return segment;
}

struct segment answers(uint32_t at, uint32_t heard, uint8_t flags, const void *payload, size_t len)
{
	struct segment segment = { .seq = lab.mode->down + at,
				   .ack = lab.mode->start + heard,
				   .flags = flags,
				   .window = WINDOW_HOST,
				   .payload = payload,
				   .len = len };

	if (lab.mode->timestamps)
		add_timestamps(&segment, TIME_HOST, TIME_SENDER);
	return segment;
}

struct segment owns(const struct segment *to, uint32_t at, uint32_t heard, uint8_t flags)
{
	struct segment segment = answers(at, heard, flags, NULL, 0);

	segment.options_len = lab.mode->timestamps ? segment.options_len : 0;
	memset(segment.options + segment.options_len, 1,
	       sizeof(segment.options) - segment.options_len);
	segment.options_len = to->options_len;
	return segment;
}

/* Segment size, window scale, selective acknowledgements. */
static const uint8_t offers[] = { 2, 4, 5, 180, 1, 3, 3, SCALE, 1, 1, 4, 2 };

struct segment syn(void)
{
	struct segment segment = sends((uint32_t)-1, SYN, NULL, 0);

	segment.ack = 0;
	segment.window = 64240;
	add_options(&segment, offers, sizeof(offers));
	return segment;
}

struct segment syn_ack(void)
{
	struct segment segment = answers((uint32_t)-1, 0, SYN | ACK, NULL, 0);

	segment.window = WINDOW_HOST << SCALE;
	add_options(&segment, offers, sizeof(offers));
	return segment;
}

static void compare(const struct frame *got, bool from_host, bool app_side,
		    const struct segment *expect)
{
	static struct frame frame;
	struct wire wire = way_of(from_host, app_side);

	frame_make(&frame, &wire, expect);
	assert_frames_equal(got, &frame);
}

static bool show(bool out, const struct segment *segment, struct frame *ret)
{
	static struct frame in;
	struct wire wire = way_of(out, out);

	frame_make(&in, &wire, segment);
	return out ? lab_out(&in, ret) : lab_in(&in, ret);
}

/* Bytes cut out in front leave skb->csum as right as it was; taking some off behind does not. */
static void assert_unseen(const struct segment *in, const struct segment *expect)
{
	assert_true(lab.unseen);
	assert_false(expect->len && expect->payload + expect->len == in->payload + in->len);
}

void in_passes(const struct segment *in, const struct segment *expect)
{
	static struct frame out;

	if (show(false, in, &out))
		compare(&out, false, true, expect);
	else
		assert_unseen(in, expect);
}

void out_passes(const struct segment *in, const struct segment *expect)
{
	static struct frame out;

	if (show(true, in, &out))
		compare(&out, true, false, expect);
	else
		assert_unseen(in, expect);
}

void host_gets(const struct segment *expect)
{
	static struct frame out;

	if (!lab.mode->device)
		return;
	assert_true(devices_passed(&out));
	compare(&out, false, true, expect);
}

void in_drops(const struct segment *in)
{
	static struct frame out;

	assert_false(show(false, in, &out));
}

void out_drops(const struct segment *in)
{
	static struct frame out;

	assert_false(show(true, in, &out));
}

void replied(const struct segment *expect)
{
	static struct frame reply;

	assert_true(lab_reply(&reply));
	compare(&reply, true, false, expect);
}

void no_reply(void)
{
	static struct frame reply;

	assert_false(lab_reply(&reply));
}

struct segment answered(const struct segment *in, uint8_t flags)
{
	struct segment segment = *in;

	segment.seq = lab.mode->start;
	segment.flags = flags;
	segment.len = 0;
	return segment;
}

struct segment moved(const struct segment *in, uint32_t at, size_t cut)
{
	struct segment segment = *in;

	segment.seq = lab.mode->start + at;
	segment.payload += cut;
	segment.len -= cut;
	return segment;
}

void both_reset(const struct segment *in, uint32_t at, uint32_t heard)
{
	struct segment expect = answered(in, RST);

	in_passes(in, &expect);
	expect = owns(in, at, heard, RST | ACK);
	replied(&expect);
}

void syn_refused(enum up_reason reason)
{
	struct segment first = syn(), expect = owns(&first, 0, 0, RST | ACK);
	struct up_flow flow;

	in_drops(&first);
	memset(expect.options, 1, sizeof(expect.options));
	expect.seq = 0;
	expect.window = 0;
	replied(&expect);
	assert_false(lab_flow(&flow));
	event_is(UP_EVENT_REFUSED);
	assert_int_equal(lab.event.reason, reason);
	assert_int_equal(STAT(resets_sent), 1);
}

void handshake(void)
{
	struct segment first = syn(), second = syn_ack();

	in_passes(&first, &first);
	out_passes(&second, &second);
	assert_int_equal(flow_is(), UP_FLOW_HEADER);
}

void open_with(const char *header, const char *payload)
{
	static char bytes[4096];
	size_t len = strlen(header);
	struct segment in, expect;

	(void)snprintf(bytes, sizeof(bytes), "%s%s", header, payload);
	handshake();
	in = sends(0, PSH | ACK, bytes, strlen(bytes));
	expect = *payload ? moved(&in, 0, len) : answered(&in, PSH | ACK);
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
	assert_int_equal(flow_is(), UP_FLOW_OPEN);
}

void opened(const char *header, const char *payload)
{
	uint32_t len = (uint32_t)strlen(payload), cut = (uint32_t)strlen(header);
	struct segment ack = answers(0, len, ACK, NULL, 0);
	struct segment expect = answers(0, len + cut, ACK, NULL, 0);

	open_with(header, payload);
	out_passes(&ack, &expect);
}

void event_is(enum up_flow_event_kind kind)
{
	assert_true(lab_event(false));
	assert_int_equal(lab.event.kind, kind);
	assert_int_equal(lab.event.listener, LISTENER);
	assert_int_equal(lab.event.key.remote_port, lab.wire.remote_port);
	assert_int_equal(lab.event.key.local_port, WIRE_PORT);
	assert_memory_equal(lab.event.key.remote_ip, lab.wire.remote, 16);
	assert_memory_equal(lab.event.key.local_ip, lab.wire.local, 16);
}

void refused_for(enum up_reason reason)
{
	event_is(UP_EVENT_REFUSED);
	assert_int_equal(lab.event.reason, reason);
	assert_int_equal(flow_is(), UP_FLOW_REFUSED);
}

void ended_by(enum up_flow_end end, uint64_t up, uint64_t down)
{
	event_is(UP_EVENT_END);
	assert_int_equal(lab.event.end, end);
	assert_int_equal(lab.event.bytes_up, up);
	assert_int_equal(lab.event.bytes_down, down);
}

enum up_flow_state flow_is(void)
{
	struct up_flow flow;

	assert_true(lab_flow(&flow));
	return (enum up_flow_state)flow.state;
}
