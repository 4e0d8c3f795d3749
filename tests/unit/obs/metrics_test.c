// SPDX-License-Identifier: BSD-2-Clause
#include "obs/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *written(const struct stats *stats)
{
	const struct metrics_process process = { 1.5, 4096, 7, 1024 };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(metrics_write(out, stats, &process), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void assert_has(const char *text, const char *line)
{
	char whole[256];

	(void)snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void names_are_escaped(void **state)
{
	struct stats *stats = stats_new(1, 0);
	char *text;

	assert_non_null(stats);
	stats->n_listeners = 1;
	strcpy(stats->listeners[0].name, "a\"b\\c\nd");
	stats->listeners[0].connections = 3;
	text = written(stats);
	assert_has(text,
		   "unproxy_listener_connections{listener=\"a\\\"b\\\\c\\nd\",engine=\"relay\"} 3");
	free(text);
	stats_free(stats);
}

static void a_histogram_is_cumulated_and_in_seconds(void **state)
{
	struct stats *stats = stats_new(0, 0);
	char *text;

	assert_non_null(stats);
	stats->relay.on = true;
	stats_time(&stats->relay.counts.connect_us, 50);
	stats_time(&stats->relay.counts.connect_us, 200);
	stats_time(&stats->relay.counts.connect_us, 20000000);
	text = written(stats);
	assert_has(text,
		   "unproxy_connect_duration_seconds_bucket{engine=\"relay\",le=\"0.0001\"} 1");
	assert_has(text,
		   "unproxy_connect_duration_seconds_bucket{engine=\"relay\",le=\"0.00025\"} 2");
	assert_has(text, "unproxy_connect_duration_seconds_bucket{engine=\"relay\",le=\"10\"} 2");
	assert_has(text, "unproxy_connect_duration_seconds_bucket{engine=\"relay\",le=\"+Inf\"} 3");
	assert_has(text, "unproxy_connect_duration_seconds_sum{engine=\"relay\"} 20.00025");
	assert_has(text, "unproxy_connect_duration_seconds_count{engine=\"relay\"} 3");
	free(text);
	stats_free(stats);
}

/* Two samples with the same labels would have Prometheus refuse all. */
static void a_server_that_was_removed_and_added_again_is_there_once(void **state)
{
	struct stats *stats = stats_new(0, 2);
	char *text;

	assert_non_null(stats);
	stats->n_servers = 2;
	for (int i = 0; i < 2; i++) {
		strcpy(stats->servers[i].backend, "app");
		strcpy(stats->servers[i].addr, "10.0.0.1:80");
	}
	stats->servers[0].removed = true;
	stats->servers[1].total = 5;
	text = written(stats);
	assert_has(text, "unproxy_server_connects_total{backend=\"app\",server=\"10.0.0.1:80\"} 5");
	assert_null(strstr(strstr(text, "unproxy_server_connects_total{") + 1,
			   "unproxy_server_connects_total{"));
	free(text);
	stats_free(stats);
}

static void counters_are_there_before_they_count(void **state)
{
	struct stats *stats = stats_new(0, 0);
	char *text;

	assert_non_null(stats);
	stats->inl.on = true;
	text = written(stats);
	assert_has(text,
		   "unproxy_connections_refused_total{engine=\"inline\",reason=\"timeout\"} 0");
	assert_null(strstr(text, "engine=\"relay\"")); /* it has no listener */
	assert_has(text, "process_open_fds 7");
	assert_has(text, "process_cpu_seconds_total 1.5");
	free(text);
	stats_free(stats);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_escaped),
		cmocka_unit_test(a_histogram_is_cumulated_and_in_seconds),
		cmocka_unit_test(a_server_that_was_removed_and_added_again_is_there_once),
		cmocka_unit_test(counters_are_there_before_they_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
