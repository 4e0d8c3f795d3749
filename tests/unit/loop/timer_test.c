/* SPDX-License-Identifier: BSD-2-Clause */
/* The loop's timers: each fires once, in the order of their deadlines, unless cancelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"
#include "loop/loop.h"

#define TIMERS 500U
#define SPAN_US 5000U

struct probe {
	struct loop_timer timer;
	uint64_t delay_us;
	unsigned fired;
};

static struct {
	struct loop *loop;
	struct probe probes[TIMERS];
	struct loop_timer end;
	uint64_t last_us;
	unsigned again;
} t;

static void on_probe(struct loop_timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timer);

	assert_int_equal(timer->place, 0);
	assert_true(probe->delay_us >= t.last_us);
	t.last_us = probe->delay_us;
	probe->fired++;
}

static void on_end(struct loop_timer *timer)
{
	(void)timer;
	loop_stop(t.loop);
}

static void on_again(struct loop_timer *timer)
{
	if (++t.again < 3)
		assert_int_equal(loop_timer_arm(t.loop, timer, 0), 0);
	else
		loop_stop(t.loop);
}

static int set_up(void **state)
{
	(void)state;
	t.last_us = 0;
	t.again = 0;
	t.end = (struct loop_timer){ .fn = on_end };
	for (unsigned i = 0; i < TIMERS; i++)
		t.probes[i] = (struct probe){ .timer.fn = on_probe };
	return loop_new(&t.loop);
}

static int tear_down(void **state)
{
	(void)state;
	loop_free(t.loop);
	return 0;
}

static void arm(unsigned i, uint64_t delay_us)
{
	t.probes[i].delay_us = delay_us;
	assert_int_equal(loop_timer_arm(t.loop, &t.probes[i].timer, delay_us), 0);
}

/* Armed in no order, some moved, some cancelled from the middle of the heap. */
static void in_order_of_their_deadlines(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TIMERS; i++)
		arm(i, (i * 7919) % SPAN_US);
	for (unsigned i = 0; i < TIMERS; i += 3)
		arm(i, (i * 104729) % SPAN_US);
	for (unsigned i = 0; i < TIMERS; i += 5)
		loop_timer_cancel(t.loop, &t.probes[i].timer);
	assert_int_equal(loop_timer_arm(t.loop, &t.end, SPAN_US), 0);
	assert_int_equal(loop_run(t.loop), 0);
	for (unsigned i = 0; i < TIMERS; i++)
		assert_int_equal(t.probes[i].fired, i % 5 ? 1 : 0);
}

static void armed_again_by_its_own_handler(void **state)
{
	struct loop_timer again = { .fn = on_again };

	(void)state;
	assert_int_equal(loop_timer_arm(t.loop, &again, 0), 0);
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(t.again, 3);
	assert_int_equal(again.place, 0);
}

static void what_is_left_is_told(void **state)
{
	(void)state;
	assert_int_equal(loop_timer_left(t.loop, &t.end), 0);
	assert_int_equal(loop_timer_arm(t.loop, &t.end, 5000), 0);
	assert_int_equal(loop_timer_left(t.loop, &t.end), 5000);
	assert_int_equal(loop_timer_arm(t.loop, &t.end, 0), 0);
	assert_int_equal(loop_timer_left(t.loop, &t.end), 1); /* it is armed */
	loop_timer_cancel(t.loop, &t.end);
	assert_int_equal(loop_timer_left(t.loop, &t.end), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_order_of_their_deadlines, set_up, tear_down),
		cmocka_unit_test_setup_teardown(armed_again_by_its_own_handler, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_left_is_told, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
