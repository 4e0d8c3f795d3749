/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures in few columns, and what `unproxy top` makes of two looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "cmd/table.h"
#include "cmd/top_rows.h"

static void counts(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 999, "999" },
		{ 1000, "1.0k" },
		{ 1999, "1.9k" },
		{ 9999, "9.9k" },
		{ 10000, "10k" },
		{ 999999, "999k" },
		{ 1000000, "1.0M" },
		{ 31500000, "31M" },
		{ 2000000000000, "2.0T" },
		{ UINT64_MAX, "18E" },
	};
	char buf[16];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		table_count(cases[i].n, buf, sizeof(buf));
		assert_string_equal(buf, cases[i].text);
	}
}

static void ages(void **state)
{
	char buf[16];

	table_age(59, buf, sizeof(buf));
	assert_string_equal(buf, "59s");
	table_age(125, buf, sizeof(buf));
	assert_string_equal(buf, "2m05s");
	table_age(3840, buf, sizeof(buf));
	assert_string_equal(buf, "1h04m");
	table_age(12 * 86400 + 3 * 3600 + 59, buf, sizeof(buf));
	assert_string_equal(buf, "12d03h");
}

/* With the widest figures there are, it is as wide as a terminal. */
static void the_first_line(void **state)
{
	struct top_head head = { .uptime_s = 99 * 86400 + 23 * 3600,
				 .n = 999999,
				 .new_s = 999999,
				 .up_s = 999e9,
				 .down_s = 999e9 };
	char buf[TOP_HEAD_MAX];

	top_head(&head, buf);
	assert_string_equal(buf,
			    "unproxy  uptime 99d23h  999k connections  999k new/s  up 999GB/s  "
			    "down 999GB/s");
	assert_in_range(strlen(buf), 1, 80);
	head = (struct top_head){ .uptime_s = 3, .n = 1, .new_s = 0.5, .up_s = 2, .paused = true };
	top_head(&head, buf);
	assert_string_equal(buf,
			    "paused   uptime 3s  1 connections  0.5 new/s  up 2B/s  down 0B/s");
}

static void endpoints(void **state)
{
	char buf[64];

	table_endpoint("192.0.2.1", 80, buf, sizeof(buf));
	assert_string_equal(buf, "192.0.2.1:80");
	table_endpoint("2001:db8::1", 80, buf, sizeof(buf));
	assert_string_equal(buf, "[2001:db8::1]:80");
	table_endpoint("", 0, buf, sizeof(buf));
	assert_string_equal(buf, "-");
}

static void add(struct top_rows *rows, const char *id, const char *client, double age, int bytes)
{
	json_t *item = json_pack("{s:s, s:s, s:s, s:f, s:i, s:i, s:s, s:s}", "conn", id,
				 "client_ip", client, "backend_name", "b", "duration", age,
				 "bytes_up", bytes, "bytes_down", 2 * bytes, "path_up", "copy",
				 "path_down", "splice");

	assert_int_equal(top_add(rows, item), 0);
	json_decref(item);
}

static const struct top_row *find(const struct top_rows *rows, const char *id)
{
	for (size_t i = 0; i < rows->n; i++) {
		if (strcmp(rows->rows[i].id, id) == 0)
			return &rows->rows[i];
	}
	fail_msg("no %s", id);
	return NULL;
}

static void rates(void **state)
{
	struct top_rows before = { 0 }, now = { 0 };

	add(&before, "r2", "a", 10, 100);
	add(&before, "r1", "b", 10, 50);
	add(&now, "r3", "a", 1, 40); /* new */
	add(&now, "r2", "a", 12, 120);
	add(&now, "r1", "b", 12, 50);
	add(&now, "r0", "b", 99, 1000); /* old, and was not seen */
	top_rate(&now, &before, 2);
	assert_int_equal(now.begun, 1);
	assert_true(find(&now, "r2")->up_s == 10 && find(&now, "r2")->down_s == 20);
	assert_true(find(&now, "r1")->up_s == 0);
	assert_true(find(&now, "r3")->up_s == 20);
	assert_true(find(&now, "r0")->up_s == 0);

	top_sort(&now, TOP_RATE);
	assert_string_equal(now.rows[0].id, "r3");
	top_sort(&now, TOP_BYTES);
	assert_string_equal(now.rows[0].id, "r0");
	top_sort(&now, TOP_AGE);
	assert_string_equal(now.rows[1].id, "r1");

	top_fold(&now, TOP_CLIENT);
	top_sort(&now, TOP_BYTES);
	assert_int_equal(now.n, 2);
	assert_string_equal(now.rows[0].client, "b");
	assert_int_equal(now.rows[0].n, 2);
	assert_int_equal(now.rows[0].up, 1050);
	assert_true(now.rows[0].age == 99);
	assert_true(now.rows[1].up_s == 30);
	top_fold(&now, TOP_BACKEND);
	assert_int_equal(now.n, 1);
	assert_int_equal(now.rows[0].n, 4);
	top_free(&now);
	top_free(&before);
}

static void no_rows(void **state)
{
	struct top_rows before = { 0 }, now = { 0 };

	top_rate(&now, &before, 0);
	top_fold(&now, TOP_CLIENT);
	top_sort(&now, TOP_RATE);
	assert_int_equal(now.n, 0);
}

/* Whatever stands in them, lines are as wide as the screen. */
static void lines(void **state)
{
	static const size_t widths[] = { 80, 81, 120, 200 };
	struct top_row row = { .age = 1e9, .up = UINT64_MAX, .up_s = 1e18, .n = 1000000 };
	char buf[256];

	memset(row.client, 'c', sizeof(row.client) - 1);
	memset(row.backend, 'b', sizeof(row.backend) - 1);
	memset(row.path, 'p', sizeof(row.path) - 1);
	for (enum top_group group = TOP_LIST; group < TOP_GROUP__MAX; group++) {
		for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
			top_line(&row, group, widths[i], buf);
			assert_int_equal(strlen(buf), widths[i]);
			top_line(NULL, group, widths[i], buf);
			assert_int_equal(strlen(buf), widths[i]);
		}
	}
	row = (struct top_row){
		.client = "192.0.2.1", .backend = "rails", .path = "copy", .age = 61, .n = 1
	};
	top_line(&row, TOP_LIST, 80, buf);
	assert_non_null(strstr(buf, "192.0.2.1 "));
	assert_non_null(strstr(buf, "rails "));
	assert_non_null(strstr(buf, "1m01s"));
}

/* Clients of one network begin alike. */
static void long_addresses(void **state)
{
	struct top_row row = { .client = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1", .n = 1 };
	char one[256], other[256];

	top_line(&row, TOP_LIST, 80, one);
	row.client[strlen(row.client) - 1] = '2';
	top_line(&row, TOP_LIST, 80, other);
	assert_string_not_equal(one, other);
	assert_non_null(strstr(one, "2001:db8:a~"));
	assert_non_null(strstr(one, ":eeee:1 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),    cmocka_unit_test(ages),
		cmocka_unit_test(endpoints), cmocka_unit_test(the_first_line),
		cmocka_unit_test(rates),     cmocka_unit_test(no_rows),
		cmocka_unit_test(lines),     cmocka_unit_test(long_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
