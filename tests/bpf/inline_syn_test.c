// SPDX-License-Identifier: BSD-2-Clause
/* How connections begin: who may, what a SYN may carry, and SYNs where there is one already. */
#include <bpf/bpf.h>

#include "inline_script.h"

static struct segment syn_at(uint32_t at)
{
	struct segment segment = syn();

	segment.seq += at;
	return segment;
}

static void listen_with(uint8_t options)
{
	lab.options = options;
	lab_listen();
}

static void distrust(void)
{
	struct up_trust_key key = { .prefix_len = 32 + 128, .listener = LISTENER };

	memcpy(key.ip, lab.wire.remote, sizeof(key.ip));
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(lab.skel->maps.trust), &key), 0);
}

static void trusted(void)
{
	struct segment first = syn(), second = syn_ack();
	struct up_flow flow;

	in_passes(&first, &first);
	assert_int_equal(flow_is(), UP_FLOW_SYN);
	out_passes(&second, &second);
	assert_true(lab_flow(&flow));
	assert_int_equal(flow.state, UP_FLOW_HEADER);
	assert_int_equal(flow.seq_start, lab.mode->start);
	assert_int_equal(flow.down_start, lab.mode->down);
	assert_int_equal(flow.window, WINDOW_HOST);
	assert_int_equal(!!(flow.options & UP_FLOW_TIMESTAMPS), lab.mode->timestamps);
	assert_int_equal(STAT(syns), 1);
}

static void trusted_by_network(void)
{
	struct up_trust_key key = { .prefix_len = 32 + 96 + 8, .listener = LISTENER };
	struct segment first = syn();
	uint32_t one = 1;

	distrust();
	memcpy(key.ip, lab.wire.remote, sizeof(key.ip));
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab.skel->maps.trust), &key, &one, 0), 0);
	in_passes(&first, &first);
}

static void untrusted_is_reset(void)
{
	distrust();
	syn_refused(UP_REASON_UNTRUSTED);
	assert_int_equal(STAT(untrusted), 1);
}

static void drained_takes_nobody(void)
{
	listen_with(UP_FLOW_DRAINING);
	syn_refused(UP_REASON_DRAINING);
	assert_int_equal(STAT(refused), 1);
	assert_int_equal(STAT(untrusted), 0);
}

static void drained_lets_nobody_pass(void)
{
	listen_with(UP_FLOW_DRAINING | UP_FLOW_PASS_OTHERS);
	distrust();
	syn_refused(UP_REASON_DRAINING);
}

/* Who had begun before goes on. */
static void drained_meanwhile(void)
{
	struct segment first = syn();

	in_passes(&first, &first);
	listen_with(UP_FLOW_DRAINING);
	in_passes(&first, &first);
	assert_int_equal(STAT(refused), 0);
}

/* Left alone: to the host as it is, at the port it asks for. */
static void untrusted_is_left_alone(void)
{
	static struct frame frame, out;
	struct segment first = syn();

	listen_with(UP_FLOW_PASS_OTHERS);
	distrust();
	frame_make(&frame, &lab.wire, &first);
	assert_true(lab_in(&frame, &out));
	assert_frames_equal(&out, &frame);
	assert_int_equal(STAT(untrusted), 0);
}

static void repeated(void)
{
	struct segment first = syn();

	in_passes(&first, &first);
	in_passes(&first, &first);
	assert_int_equal(STAT(syns), 1);
	handshake();
	in_passes(&first, &first);
	assert_int_equal(flow_is(), UP_FLOW_HEADER);
	assert_int_equal(STAT(syns), 1);
}

/* The first try was given up, unheard. */
static void another_number_before_the_answer(void)
{
	struct segment first = syn(), second = syn_at(70000), answer = syn_ack();
	struct up_flow flow;

	in_passes(&first, &first);
	in_passes(&second, &second);
	answer.ack += 70000;
	out_passes(&answer, &answer);
	assert_true(lab_flow(&flow));
	assert_int_equal(flow.seq_start, lab.mode->start + 70000);
	assert_int_equal(STAT(syns), 2);
}

/* The host has answered one: it says which of the two it has taken. */
static void another_number_before_the_header(void)
{
	struct segment second = syn_at(70000), out, in, expect;

	handshake();
	in_passes(&second, &second);
	assert_int_equal(flow_is(), UP_FLOW_HEADER);
	out = answers(0, 0, ACK, NULL, 0); /* "I am at another place" */
	out_passes(&out, &out);
	in = sends(0, RST, NULL, 0); /* "then this is over" */
	expect = answered(&in, RST);
	in_passes(&in, &expect);
	refused_for(UP_REASON_EMPTY);
	in_passes(&second, &second);
	assert_int_equal(flow_is(), UP_FLOW_SYN);
}

/* No socket of the host has it any more: a new connection from the same port. */
static void another_number_after_the_end(void)
{
	struct segment second = syn_at(70000);

	opened(HEADER_ODD, "0123456789");
	in_passes(&second, &second);
	ended_by(UP_END_REUSED, 10, 0);
	assert_int_equal(flow_is(), UP_FLOW_SYN);
}

/* TIME_WAIT's answer to a number that it does not like, and the sender's to that: they are
 * the old connection's affair, in the numbers that the host knows. */
static void reset_before_the_answer(void)
{
	struct segment first = syn(), out, in;

	in_passes(&first, &first);
	out = answers(100, 0x12345678, ACK, NULL, 0);
	out_passes(&out, &out);
	in = sends(0x12345678, RST, NULL, 0);
	in_passes(&in, &in);
	assert_int_equal(flow_is(), UP_FLOW_SYN);
	no_reply();
}

static void same_number_while_open(void)
{
	struct segment again = syn();

	opened(HEADER_ODD, "0123456789");
	in_passes(&again, &again);
	assert_int_equal(flow_is(), UP_FLOW_OPEN);
}

static void data_is_cut_off(void)
{
	struct segment first = syn(), expect = first;

	first.payload = (const uint8_t *)HEADER_ODD;
	first.len = LEN(HEADER_ODD);
	in_passes(&first, &expect);
}

/* Every place and length, alone and together; the rest stays as it is. */
static void offers_become_nops(void)
{
	const uint8_t cookie[] = { 34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1 };
	const uint8_t multipath[] = { 30, 4, 0x81, 0 };
	const uint8_t experiment[] = { 1, 254, 4, 0xF9, 0x89, 1, 1, 1 };
	const struct {
		const uint8_t *bytes;
		size_t len;
	} offers[] = { { cookie, 12 }, { multipath, 4 }, { experiment, 8 } };

	for (size_t which = 1; which < 8; which++) {
		struct segment first = sends((uint32_t)-1, SYN, NULL, 0), expect;
		size_t room = sizeof(first.options) - first.options_len, n = 0;

		expect = first;
		for (size_t i = 0; i < 3; i++) {
			if (!(which & 1U << i) || n + offers[i].len > room)
				continue;
			add_options(&first, offers[i].bytes, offers[i].len);
			n += offers[i].len;
		}
		expect = first;
		memset(expect.options + expect.options_len - n, 1, n);
		in_passes(&first, &expect);
		lab_begin(lab.mode);
	}
}

/* More than any stack offers. */
static void a_fourth_offer_is_dropped(void)
{
	const uint8_t multipath[] = { 30, 4, 0x81, 0 };
	struct segment first = sends((uint32_t)-1, SYN, NULL, 0);

	for (int i = 0; i < 4; i++)
		add_options(&first, multipath, sizeof(multipath));
	in_drops(&first);
	assert_int_equal(STAT(failed), 1);
	lab_begin(lab.mode);
}

static void table_full(void)
{
	struct segment first = syn();

	for (uint16_t i = 0; i < MAX_FLOWS; i++) {
		lab.wire.remote_port = 41000 + i;
		in_passes(&first, &first);
	}
	lab.wire.remote_port = 42000;
	in_drops(&first);
	assert_int_equal(STAT(table_full), 1);
	no_reply();
	lab.wire.remote_port = 41000;
	in_passes(&first, &first);
	first.seq += 9; /* in the place of the old one */
	in_passes(&first, &first);
	assert_int_equal(STAT(table_full), 1);
}

/* A place that becomes free serves who was turned away before. */
static void place_after_full(void)
{
	struct segment first = syn();
	struct up_flow_key key;

	table_full();
	key = lab_key(WIRE_PORT);
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(lab.skel->maps.flows), &key), 0);
	key.local_port = lab.mode->moved ? APP_PORT : WIRE_PORT;
	(void)bpf_map_delete_elem(bpf_map__fd(lab.skel->maps.aliases), &key);
	lab.wire.remote_port = 42000;
	in_passes(&first, &first);
}

/* Two ports of ours, one of the app's: the app cannot tell two connections apart that come
 * from the same port. */
static void same_port_of_the_app(void)
{
	struct up_listen_key key = { .port = WIRE_PORT + 1 };
	struct up_listen listen = { .id = LISTENER,
				    .app_port = APP_PORT,
				    .timeout_ms = 60000,
				    .header_max = UP_INLINE_HEADER_MAX };
	struct segment first = syn(), answer = syn_ack();
	static struct up_ports ports;
	uint32_t zero = 0;

	if (!lab.mode->moved)
		return;
	ports.role[WIRE_PORT] = ports.role[WIRE_PORT + 1] = UP_PORT_WIRE;
	ports.role[APP_PORT] = UP_PORT_APP | UP_PORT_MOVED;
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab.skel->maps.ports), &zero, &ports, 0),
			 0);
	memcpy(key.ip, lab.wire.local, sizeof(key.ip));
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab.skel->maps.listeners), &key, &listen,
					     0),
			 0);
	in_passes(&first, &first);
	lab.wire.local_port = WIRE_PORT + 1;
	in_drops(&first);
	assert_int_equal(STAT(table_full), 1);
	lab.wire.local_port = WIRE_PORT;
	out_passes(&answer, &answer); /* to the first one */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(trusted),
		LAB_TEST(trusted_by_network),
		LAB_TEST(untrusted_is_reset),
		LAB_TEST(untrusted_is_left_alone),
		LAB_TEST(drained_takes_nobody),
		LAB_TEST(drained_lets_nobody_pass),
		LAB_TEST(drained_meanwhile),
		LAB_TEST(repeated),
		LAB_TEST(another_number_before_the_answer),
		LAB_TEST(another_number_before_the_header),
		LAB_TEST(another_number_after_the_end),
		LAB_TEST(reset_before_the_answer),
		LAB_TEST(same_number_while_open),
		LAB_TEST(data_is_cut_off),
		LAB_TEST(offers_become_nops),
		LAB_TEST(a_fourth_offer_is_dropped),
		LAB_TEST(table_full),
		LAB_TEST(place_after_full),
		LAB_TEST(same_port_of_the_app),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
