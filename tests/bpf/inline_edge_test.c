// SPDX-License-Identifier: BSD-2-Clause
/* What happens rarely: maps full or gone, another CPU at the same header, tags of VLANs, and
 * packets of the host that are of no flow. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "inline_script.h"

static struct frame frame, out;

static void flow_put(const struct up_flow *flow)
{
	struct up_flow_key key = lab_key(WIRE_PORT);

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab.skel->maps.flows), &key, flow,
					     BPF_EXIST),
			 0);
}

static void keep_part(void)
{
	struct segment in = sends(0, PSH | ACK, HEADER_ODD, 20), expect;

	handshake();
	in_drops(&in);
	expect = owns(&in, 0, 20, ACK);
	replied(&expect);
}

/* It is repeated, and then it passes. */
static void another_cpu_at_the_header(void)
{
	struct segment in = sends(0, PSH | ACK, HEADER_ODD "x", LEN(HEADER_ODD) + 1), expect;
	struct up_flow flow;

	handshake();
	assert_true(lab_flow(&flow));
	flow.busy = 1;
	flow_put(&flow);
	in_drops(&in);
	assert_int_equal(STAT(busy), 1);
	no_reply();
	flow.busy = 0;
	flow_put(&flow);
	expect = moved(&in, 0, LEN(HEADER_ODD));
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
}

/* What we have acknowledged must not be lost in silence. */
static void kept_part_is_gone(void)
{
	struct up_flow_key key = lab_key(WIRE_PORT);
	struct segment in = sends(20, PSH | ACK, HEADER_ODD + 20, LEN(HEADER_ODD) - 20), expect;

	keep_part();
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(lab.skel->maps.partials), &key), 0);
	expect = answered(&in, RST);
	in_passes(&in, &expect);
	expect = owns(&in, 0, LEN(HEADER_ODD), RST | ACK);
	replied(&expect);
	refused_for(UP_REASON_NO_RESOURCES);
}

/* Nothing is acknowledged that is not kept. */
static void no_place_for_a_part(void)
{
	static uint8_t value[16384];
	struct up_flow_key key = lab_key(1);
	struct segment in = sends(0, PSH | ACK, HEADER_ODD, 20);
	int map = bpf_map__fd(lab.skel->maps.partials);

	assert_true(bpf_map__value_size(lab.skel->maps.partials) <= sizeof(value));
	for (; key.local_port <= MAX_FLOWS; key.local_port++)
		assert_int_equal(bpf_map_update_elem(map, &key, value, BPF_ANY), 0);
	handshake();
	in_drops(&in);
	no_reply();
	assert_int_equal(STAT(failed), 1);
	lab_begin(lab.mode);
}

/* The log loses lines, and no connection is lost. */
static void events_full(void)
{
	struct up_trust_key key = { .prefix_len = 32 + 128, .listener = LISTENER };
	struct segment first = syn(), in, expect;
	uint32_t one = 1;

	memcpy(key.ip, lab.wire.remote, sizeof(key.ip));
	bpf_map_delete_elem(bpf_map__fd(lab.skel->maps.trust), &key);
	while (!STAT(events_lost)) {
		in_drops(&first);
		assert_true(lab_reply(&out));
	}
	bpf_map_update_elem(bpf_map__fd(lab.skel->maps.trust), &key, &one, BPF_ANY);
	handshake();
	in = sends(0, PSH | ACK, HEADER_ODD "x", LEN(HEADER_ODD) + 1);
	expect = moved(&in, 0, LEN(HEADER_ODD));
	in_passes(&in, &expect);
	assert_int_equal(flow_is(), UP_FLOW_OPEN);
	assert_int_equal(STAT(events_lost), 2);
	while (lab_event(false)) {
	}
}

/* To a SYN that was late on its way the half-open connection answers, and nobody needs that. */
static void late_syn(void)
{
	struct segment first = syn(), in = sends(0, ACK, NULL, 0), again = syn_ack();
	struct segment challenge = answers(0, 0, ACK, NULL, 0);

	handshake();
	in_drops(&in);
	in_passes(&first, &first);
	out_drops(&challenge);
	out_passes(&again, &again);
	no_reply();
	assert_int_equal(flow_is(), UP_FLOW_HEADER);
	assert_int_equal(STAT(acks_held), 2);
}

static void tag(uint16_t id)
{
	memmove(frame.bytes + 16, frame.bytes + 12, frame.len - 12);
	put16(frame.bytes + 12, ETH_P_8021Q);
	put16(frame.bytes + 14, id);
	frame.net += 4;
	frame.l4 += 4;
	frame.data += 4;
	frame.len += 4;
}

/* A VLAN's own device has programs of its own; 0 is mere priority. */
static void vlan(void)
{
	struct segment first = syn();

	if (lab.mode->l3 || lab.mode->sums == SUMS_COMPLETE)
		return;
	frame_make(&frame, &lab.wire, &first);
	tag(5);
	assert_true(lab_in(&frame, &out));
	assert_int_equal(STAT(syns), 0);
	if (!lab.mode->device)
		return; /* there the tag stays in the packet */
	frame_make(&frame, &lab.wire, &first);
	tag(0);
	assert_true(lab_in(&frame, &out));
	assert_int_equal(STAT(syns), 1);
}

/* The host's own, from before the engine or past it. */
static void out_of_no_flow(void)
{
	struct segment in = answers(0, 0, PSH | ACK, "hello", 5);
	struct wire wire = lab.wire;

	wire.from_host = true;
	wire.local_port = lab.mode->moved ? APP_PORT : WIRE_PORT;
	frame_make(&frame, &wire, &in);
	assert_true(lab_out(&frame, &out));
	assert_frames_equal(&out, &frame);
	wire.local_port = 4711;
	frame_make(&frame, &wire, &in);
	assert_true(lab_out(&frame, &out));
	assert_frames_equal(&out, &frame);
}

/* Where no stack puts it: what cannot be moved right does not pass. */
static void sack_at_an_odd_place(void)
{
	const uint8_t odd[] = { 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1 };
	struct segment in;

	opened(HEADER_ODD, "0123456789");
	in = answers(0, 10, ACK, NULL, 0);
	add_options(&in, odd, sizeof(odd));
	out_drops(&in);
	assert_int_equal(STAT(failed), 1);
	lab_begin(lab.mode);
}

static void ipv4_in_tcp6(void)
{
	const char header[] = "PROXY TCP6 192.0.2.1 198.51.100.2 1000 80\r\nx";
	struct segment in = sends(0, PSH | ACK, header, LEN(header)), expect;

	handshake();
	expect = answered(&in, RST);
	in_passes(&in, &expect);
	expect = owns(&in, 0, LEN(header), RST | ACK);
	replied(&expect);
	refused_for(UP_REASON_V1_FAMILY);
	lab_begin(lab.mode);
	lab.options = UP_FLOW_V4_IN_TCP6;
	lab_listen();
	handshake();
	expect = moved(&in, 0, LEN(header) - 1);
	in_passes(&in, &expect);
	event_is(UP_EVENT_OPEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(another_cpu_at_the_header),
		LAB_TEST(kept_part_is_gone),
		LAB_TEST(no_place_for_a_part),
		LAB_TEST(events_full),
		LAB_TEST(late_syn),
		LAB_TEST(vlan),
		LAB_TEST(out_of_no_flow),
		LAB_TEST(sack_at_an_odd_place),
		LAB_TEST(ipv4_in_tcp6),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
