// SPDX-License-Identifier: BSD-2-Clause
/* Flows that time ends: the header's time, the linger, and a timer that there was no memory
 * for. Waits for what happens, never for a while. */
#include <sched.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "inline_script.h"

#define DEADLINE_S 10

/* A flow as a program could have left it, without a timer. */
static void flow_put(const struct up_flow *flow)
{
	struct up_flow_key key = lab_key(WIRE_PORT), alias = lab_key(APP_PORT);
	uint32_t wire = WIRE_PORT;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab.skel->maps.flows), &key, flow, 0), 0);
	if (lab.mode->moved)
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab.skel->maps.aliases), &alias,
						     &wire, 0),
				 0);
}

static struct up_flow plain_flow(enum up_flow_state state)
{
	return (struct up_flow){ .state = state,
				 .seq_start = lab.mode->start,
				 .down_start = lab.mode->down,
				 .header_max = UP_INLINE_HEADER_MAX,
				 .window = WINDOW_HOST,
				 .app_port = lab.mode->moved ? APP_PORT : WIRE_PORT,
				 .listener = LISTENER };
}

/* The kernel may have no memory for a timer: then the sweep comes again. */
static void swept_and_forgotten(void)
{
	struct up_flow_key alias = lab_key(APP_PORT);
	struct up_flow flow;
	uint32_t wire;
	time_t begin = time(NULL);

	while (lab_flow(&flow)) {
		assert_true(time(NULL) - begin < DEADLINE_S);
		(void)lab_sweep();
		sched_yield();
	}
	assert_int_not_equal(bpf_map_lookup_elem(bpf_map__fd(lab.skel->maps.aliases), &alias,
						 &wire),
			     0);
}

static void wait_for_refusal(void)
{
	assert_true(lab_event(true));
	assert_int_equal(lab.event.kind, UP_EVENT_REFUSED);
	assert_int_equal(lab.event.reason, UP_REASON_TIMEOUT);
	assert_int_equal(STAT(refused), 1);
}

static void no_answer_of_the_host(void)
{
	struct segment first = syn();

	lab.timeout_ms = 10;
	lab_listen();
	in_passes(&first, &first);
	wait_for_refusal();
	swept_and_forgotten(); /* nobody is there to be told */
}

/* Optional, but there is no connection that could be opened. */
static void no_answer_and_optional(void)
{
	lab.options = UP_FLOW_OPTIONAL;
	no_answer_of_the_host();
}

/* A part of a header came: there is one, and it is late. */
static void part_and_optional(void)
{
	struct segment in, expect;

	lab.options = UP_FLOW_OPTIONAL;
	lab_listen();
	handshake();
	in = sends(0, PSH | ACK, HEADER_ODD, 20);
	in_drops(&in);
	expect = owns(&in, 0, 20, ACK);
	replied(&expect);
	lab_expire();
	wait_for_refusal();
	assert_int_equal(flow_is(), UP_FLOW_REFUSED);
}

/* The header came in time: the timer leaves the flow alone. Seen by a second one, whose header
 * does not come. */
static void header_in_time(void)
{
	uint16_t port = lab.wire.remote_port;
	struct segment first = syn();

	opened(HEADER_ODD, "0123456789");
	lab_expire();
	lab.timeout_ms = 10;
	lab.wire.remote_port++;
	lab_listen();
	in_passes(&first, &first);
	wait_for_refusal();
	lab.wire.remote_port = port;
	assert_int_equal(flow_is(), UP_FLOW_OPEN);
}

/* Its time is long over when the next packet gets it a timer. */
static void header_without_a_timer(void)
{
	struct up_flow flow = plain_flow(UP_FLOW_HEADER);
	struct segment in = sends(0, ACK, NULL, 0);

	flow_put(&flow);
	in_drops(&in);
	wait_for_refusal();
	assert_int_equal(flow_is(), UP_FLOW_REFUSED);
}

static void handshake_without_a_timer(void)
{
	struct up_flow flow = plain_flow(UP_FLOW_SYN);
	struct segment answer = syn_ack();

	flow_put(&flow);
	out_passes(&answer, &answer);
	wait_for_refusal();
	swept_and_forgotten();
}

static void refused_and_lingered(void)
{
	struct up_flow flow = plain_flow(UP_FLOW_REFUSED);

	flow_put(&flow);
	swept_and_forgotten();
}

static void ended_and_lingered(void)
{
	struct up_flow flow = plain_flow(UP_FLOW_OPEN);

	flow.marks = UP_FLOW_ENDED;
	flow_put(&flow);
	swept_and_forgotten();
}

static uint64_t ago(uint64_t seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return ((uint64_t)now.tv_sec - seconds) * 1000000000;
}

/* No socket was ever seen, and its end neither: it must not keep its place for ever. */
static void abandoned(void)
{
	const struct {
		uint32_t marks;
		uint64_t silent;
		int swept;
	} rows[] = { { 0, 4 * 86400, 0 },           { 0, 6 * 86400, 1 },
		     { UP_FLOW_FIN_DOWN, 1800, 0 }, { UP_FLOW_FIN_DOWN, 4000, 1 },
		     { UP_FLOW_FIN_UP, 1800, 0 },   { UP_FLOW_FIN_UP, 4000, 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct up_flow flow = plain_flow(UP_FLOW_OPEN);

		flow.marks = rows[i].marks;
		flow.seen_ns = ago(rows[i].silent);
		flow_put(&flow);
		assert_int_equal(lab_sweep(), rows[i].swept);
		if (!rows[i].swept)
			continue;
		assert_true(lab_event(false));
		assert_int_equal(lab.event.end, UP_END_GONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(no_answer_of_the_host),
		LAB_TEST(no_answer_and_optional),
		LAB_TEST(part_and_optional),
		LAB_TEST(header_in_time),
		LAB_TEST(header_without_a_timer),
		LAB_TEST(handshake_without_a_timer),
		LAB_TEST(refused_and_lingered),
		LAB_TEST(ended_and_lingered),
		LAB_TEST(abandoned),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
