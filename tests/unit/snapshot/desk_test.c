// SPDX-License-Identifier: BSD-2-Clause
#include "snapshot/desk.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct main_thread {
	struct loop *loop;
	struct desk *desk;
	pthread_t asker;
	int err;         /* that take() returns */
	unsigned wanted; /* so many are asked for, then the loop ends */
	unsigned taken;
	/* What the asker got. */
	int asked;
	uint32_t generation;
};

static int take(void *context, struct stats **ret)
{
	struct main_thread *main = context;
	struct stats *stats;

	if (++main->taken == main->wanted)
		loop_stop(main->loop);
	if (main->err)
		return main->err;
	stats = stats_new(0, 0);
	assert_non_null(stats);
	stats->generation = main->taken;
	*ret = stats;
	return 0;
}

static void *ask(void *arg)
{
	struct main_thread *main = arg;

	for (unsigned i = 0; i < (main->wanted ? main->wanted : 1); i++) {
		struct stats *stats = NULL;

		main->asked = desk_ask(main->desk, &stats);
		main->generation = stats ? stats->generation : 0;
		stats_free(stats);
	}
	return NULL;
}

static void begin(struct main_thread *main)
{
	assert_int_equal(loop_new(&main->loop), 0);
	assert_int_equal(desk_open(main->loop, take, main, &main->desk), 0);
}

static void end(struct main_thread *main)
{
	desk_close(main->desk);
	loop_free(main->loop);
}

static void asked_and_answered(struct main_thread *main)
{
	assert_int_equal(pthread_create(&main->asker, NULL, ask, main), 0);
	assert_int_equal(loop_run(main->loop), 0);
	assert_int_equal(pthread_join(main->asker, NULL), 0);
}

static void the_loop_answers_another_thread(void **state)
{
	struct main_thread main = { .wanted = 3 };

	begin(&main);
	asked_and_answered(&main);
	assert_int_equal(main.asked, 0);
	assert_int_equal(main.generation, 3);
	end(&main);
}

static void an_error_is_passed_on(void **state)
{
	struct main_thread main = { .err = -ENOMEM, .wanted = 1 };

	begin(&main);
	asked_and_answered(&main);
	assert_int_equal(main.asked, -ENOMEM);
	end(&main);
}

/* At the end of the daemon the loop runs no more: nobody may wait for it. */
static void nobody_waits_for_a_desk_that_is_shut(void **state)
{
	struct main_thread main = { 0 };

	begin(&main);
	assert_int_equal(pthread_create(&main.asker, NULL, ask, &main), 0);
	desk_shut(main.desk);
	assert_int_equal(pthread_join(main.asker, NULL), 0);
	assert_int_equal(main.asked, -ESHUTDOWN);
	assert_int_equal(main.taken, 0);
	end(&main);
}

static void a_loop_that_does_not_answer_is_given_up(void **state)
{
	struct main_thread main = { 0 };

	begin(&main);
	assert_int_equal(pthread_create(&main.asker, NULL, ask, &main), 0);
	assert_int_equal(pthread_join(main.asker, NULL), 0);
	assert_int_equal(main.asked, -ETIMEDOUT);
	main.wanted = 1; /* the late answer is nobody's */
	assert_int_equal(loop_run(main.loop), 0);
	assert_int_equal(main.taken, 1);
	end(&main);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_loop_answers_another_thread),
		cmocka_unit_test(an_error_is_passed_on),
		cmocka_unit_test(nobody_waits_for_a_desk_that_is_shut),
		cmocka_unit_test(a_loop_that_does_not_answer_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
