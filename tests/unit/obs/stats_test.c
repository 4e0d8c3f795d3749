// SPDX-License-Identifier: BSD-2-Clause
#include "obs/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

static void a_duration_falls_into_one_bucket(void **state)
{
	struct stats_histogram histogram = { 0 };

	stats_time(&histogram, 0);
	stats_time(&histogram, 100); /* an upper bound belongs to its bucket */
	stats_time(&histogram, 101);
	stats_time(&histogram, 10000000);
	stats_time(&histogram, 10000001);
	assert_int_equal(histogram.buckets[0], 2);
	assert_int_equal(histogram.buckets[1], 1);
	assert_int_equal(histogram.buckets[STATS_BUCKETS - 1], 1);
	assert_int_equal(histogram.buckets[STATS_BUCKETS], 1);
	assert_int_equal(histogram.sum_us, 0 + 100 + 101 + 10000000 + 10000001);
}

static void bounds_grow(void **state)
{
	for (size_t i = 1; i < STATS_BUCKETS; i++)
		assert_true(stats_bounds_us[i] > stats_bounds_us[i - 1]);
}

static void every_end_is_found_by_its_name(void **state)
{
	for (int end = 0; end < STATS_END__MAX; end++)
		assert_int_equal(stats_end_find(stats_end_name((enum stats_end)end)), end);
	assert_int_equal(stats_end_find("never heard of"), STATS_END_OTHER);
}

static void workers_add_up(void **state)
{
	struct stats_counts a = { 0 }, b = { 0 }, sum = { 0 };

	stats_add(&a.accepted, 3);
	stats_add(&b.accepted, 4);
	stats_add(&a.refused[UP_REASON_TIMEOUT], 1);
	stats_add(&b.refused[UP_REASON_UNTRUSTED], 2);
	stats_add(&b.ended[STATS_END_CLIENT_FIN], 5);
	stats_add(&b.bytes[STATS_DOWN][UP_PATH_KERNEL], 1 << 30);
	stats_add(&a.bytes[STATS_DOWN][UP_PATH_COPY], 7);
	stats_time(&b.connect_us, 200); /* the last member */
	stats_sum(&sum, &a);
	stats_sum(&sum, &b);
	assert_int_equal(sum.accepted, 7);
	assert_int_equal(stats_refused(&sum), 3);
	assert_int_equal(stats_ended(&sum), 5);
	assert_int_equal(sum.bytes[STATS_DOWN][UP_PATH_KERNEL], 1 << 30);
	assert_int_equal(sum.bytes[STATS_DOWN][UP_PATH_COPY], 7);
	assert_int_equal(sum.bytes[STATS_UP][UP_PATH_COPY], 0);
	assert_int_equal(sum.connect_us.sum_us, 200);
}

static struct stats *two_listeners(void)
{
	struct stats *stats = stats_new(2, 2);

	assert_non_null(stats);
	stats->n_listeners = stats->n_servers = 2;
	strcpy(stats->listeners[0].name, "web");
	stats->listeners[0].open = true;
	stats->listeners[0].backend = 0;
	stats->listeners[0].n_servers = 2;
	strcpy(stats->listeners[1].name, "app"); /* inline: no servers */
	stats->listeners[1].open = true;
	stats->listeners[1].backend = -1;
	stats->servers[1].usable = true;
	return stats;
}

static void one_usable_server_is_enough(void **state)
{
	struct stats *stats = two_listeners();
	const char *name = "";

	assert_null(stats_unready(stats, &name));
	assert_null(name);
	stats_free(stats);
}

static void what_is_not_ready_is_named(void **state)
{
	struct stats *stats = two_listeners();
	const char *name;

	stats->servers[1].usable = false;
	assert_string_equal(stats_unready(stats, &name), "backend");
	assert_string_equal(name, "web");
	stats->listeners[1].open = false;
	stats->servers[0].usable = true;
	assert_string_equal(stats_unready(stats, &name), "listener");
	assert_string_equal(name, "app");
	stats->draining = true;
	assert_string_equal(stats_unready(stats, &name), "draining");
	assert_null(name);
	stats_free(stats);
}

static void too_many_maps_and_programs_are_left_out(void **state)
{
	struct stats *stats = stats_new(0, 0);
	const struct stats_program program = { .engine = "relay" };

	assert_non_null(stats);
	for (int i = 0; i < 100; i++) {
		stats_add_map(stats, "map", 1, 2);
		stats_add_program(stats, &program);
	}
	assert_int_equal(stats->n_maps, STATS_MAPS);
	assert_int_equal(stats->n_programs, STATS_PROGRAMS);
	stats_free(stats);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_duration_falls_into_one_bucket),
		cmocka_unit_test(bounds_grow),
		cmocka_unit_test(every_end_is_found_by_its_name),
		cmocka_unit_test(workers_add_up),
		cmocka_unit_test(one_usable_server_is_enough),
		cmocka_unit_test(what_is_not_ready_is_named),
		cmocka_unit_test(too_many_maps_and_programs_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
