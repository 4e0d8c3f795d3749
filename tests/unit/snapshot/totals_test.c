/* SPDX-License-Identifier: BSD-2-Clause */
/* Totals from one daemon to the next: by name, added, not taken twice. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "snapshot/totals.h"

static struct stats *make(uint64_t n)
{
	struct stats *stats = stats_new(2, 2);

	assert_non_null(stats);
	stats->n_listeners = 2;
	stats->n_servers = 2;
	strcpy(stats->listeners[0].name, "web");
	strcpy(stats->listeners[1].name, "app");
	stats->listeners[1].is_inline = true;
	strcpy(stats->servers[0].backend, "rails");
	strcpy(stats->servers[0].addr, "127.0.0.1:3000");
	strcpy(stats->servers[1].backend, "rails");
	strcpy(stats->servers[1].addr, "127.0.0.1:3001");
	for (size_t i = 0; i < 2; i++) {
		stats->listeners[i].accepted = (i + 1) * n;
		stats->listeners[i].refused = (i + 3) * n;
		stats->servers[i].total = (i + 5) * n;
		stats->servers[i].failed = (i + 7) * n;
	}
	stats->relay.counts.accepted = 9 * n;
	stats->inl.counts.accepted = 10 * n;
	stats->inl.counts.connect_us.sum_us = 11 * n;
	stats->log_lines = 12 * n;
	stats->log_dropped = 13 * n;
	stats->reload.done = 14 * n;
	stats->reload.failed = 15 * n;
	return stats;
}

static void assert_counted(const struct stats *stats, uint64_t n)
{
	struct stats *want = make(n);

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(stats->listeners[i].accepted, want->listeners[i].accepted);
		assert_int_equal(stats->listeners[i].refused, want->listeners[i].refused);
		assert_int_equal(stats->servers[i].total, want->servers[i].total);
		assert_int_equal(stats->servers[i].failed, want->servers[i].failed);
	}
	assert_memory_equal(&stats->relay.counts, &want->relay.counts, sizeof(want->relay.counts));
	assert_memory_equal(&stats->inl.counts, &want->inl.counts, sizeof(want->inl.counts));
	assert_int_equal(stats->log_lines, want->log_lines);
	assert_int_equal(stats->log_dropped, want->log_dropped);
	assert_int_equal(stats->reload.done, want->reload.done);
	assert_int_equal(stats->reload.failed, want->reload.failed);
	stats_free(want);
}

static void tell(const struct stats *stats, struct totals *totals)
{
	for (size_t i = 0; i < totals_count(stats); i++) {
		uint8_t buf[TOTAL_BYTES];
		struct writer w = { .at = buf, .end = buf + sizeof(buf) };
		struct reader r = { .at = buf };

		totals_write(stats, i, &w);
		assert_false(w.overrun);
		r.end = w.at;
		assert_int_equal(totals_read(&r, totals), 0);
		assert_ptr_equal(r.at, r.end);
	}
}

/* What is told of a daemon has what it was told itself. */
static void totals_go_on(void **state)
{
	struct totals second = { 0 }, third = { 0 };
	struct stats *of_first = make(1), *of_second = make(20), *of_third = make(300);

	(void)state;
	tell(of_first, &second);
	totals_add(&second, of_second);
	assert_counted(of_second, 21);
	tell(of_second, &third);
	totals_add(&third, of_third);
	assert_counted(of_third, 321);
	totals_free(&second);
	totals_free(&third);
	stats_free(of_first);
	stats_free(of_second);
	stats_free(of_third);
}

/* Another file: what has another name begins anew. */
static void totals_are_of_a_name(void **state)
{
	struct totals totals = { 0 };
	struct stats *before = make(1), *after = make(0);

	(void)state;
	tell(before, &totals);
	strcpy(after->listeners[0].name, "mail");
	strcpy(after->servers[1].backend, "mail");
	totals_add(&totals, after);
	assert_int_equal(after->listeners[0].accepted, 0);
	assert_int_equal(after->listeners[1].accepted, 2);
	assert_int_equal(after->servers[0].total, 5);
	assert_int_equal(after->servers[1].total, 0);
	totals_free(&totals);
	stats_free(before);
	stats_free(after);
}

/* An engine goes and comes again, twice: nothing is counted twice, and the relay's not at all. */
static void inline_is_let_go_of(void **state)
{
	struct totals totals = { 0 };

	(void)state;
	for (uint64_t n = 1; n <= 3; n++) {
		struct stats *stats = make(1);

		totals_add(&totals, stats);
		assert_int_equal(stats->inl.counts.accepted, 10 * n);
		assert_int_equal(stats->listeners[1].accepted, 2 * n);
		assert_int_equal(stats->listeners[0].accepted, 1);
		assert_int_equal(stats->relay.counts.accepted, 9);
		assert_int_equal(totals_keep_inline(&totals, stats), 0);
		assert_int_equal(totals.n_items, 1);
		stats_free(stats);
	}
	totals_free(&totals);
}

static void what_is_no_item(void **state)
{
	struct stats *stats = make(1);
	struct totals totals = { 0 };
	uint8_t buf[TOTAL_BYTES];

	(void)state;
	for (size_t i = 0; i < totals_count(stats); i++) {
		struct writer w = { .at = buf, .end = buf + sizeof(buf) };

		totals_write(stats, i, &w);
		for (const uint8_t *end = buf; end < w.at; end++) {
			struct reader r = { .at = buf, .end = end };

			assert_int_equal(totals_read(&r, &totals), -EBADMSG);
		}
		buf[0] = TOTAL__MAX;
		assert_int_equal(totals_read(&(struct reader){ .at = buf, .end = w.at }, &totals),
				 -EBADMSG);
	}
	assert_int_equal(totals.n_items, 0);
	stats_free(stats);
}

/* Of a version that counts something more. */
static void an_engine_that_counts_other_things(void **state)
{
	uint64_t numbers[sizeof(struct stats_counts) / sizeof(uint64_t) + 1] = { 1 };
	uint8_t buf[TOTAL_BYTES];
	struct writer w = { .at = buf, .end = buf + sizeof(buf) };
	struct totals totals = { 0 };

	(void)state;
	write_u8(&w, TOTAL_RELAY);
	write_text(&w, "");
	write_text(&w, "");
	write_u32(&w, sizeof(numbers) / sizeof(numbers[0]));
	write_bytes(&w, numbers, sizeof(numbers));
	assert_false(w.overrun);
	assert_int_equal(totals_read(&(struct reader){ .at = buf, .end = w.at }, &totals), 0);
	assert_int_equal(totals.relay.accepted, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(totals_go_on),
		cmocka_unit_test(totals_are_of_a_name),
		cmocka_unit_test(inline_is_let_go_of),
		cmocka_unit_test(what_is_no_item),
		cmocka_unit_test(an_engine_that_counts_other_things),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
