/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers with and without units, and near misses of words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "conf/value.h"

typedef int reader(const char *text, uint64_t *ret);

static void assert_value(reader *read, const char *text, uint64_t expect)
{
	uint64_t value = 7;

	if (read(text, &value) < 0)
		fail_msg("refused: \"%s\"", text);
	assert_true(value == expect);
}

static void assert_refused(reader *read, const char *text)
{
	uint64_t value = 7;

	if (read(text, &value) != -EINVAL)
		fail_msg("accepted: \"%s\"", text);
	assert_int_equal(value, 7);
}

static void numbers(void **state)
{
	assert_value(value_number, "0", 0);
	assert_value(value_number, "00042", 42);
	assert_value(value_number, "999999999999999999", UINT64_C(999999999999999999));
	assert_refused(value_number, "");
	assert_refused(value_number, "-1");
	assert_refused(value_number, "+1");
	assert_refused(value_number, " 1");
	assert_refused(value_number, "1 ");
	assert_refused(value_number, "1k");
	assert_refused(value_number, "0x10");
	assert_refused(value_number, "9999999999999999999");
}

static void sizes(void **state)
{
	assert_value(value_size, "4096", 4096);
	assert_value(value_size, "64k", 65536);
	assert_value(value_size, "64K", 65536);
	assert_value(value_size, "1m", 1048576);
	assert_value(value_size, "2g", UINT64_C(2147483648));
	assert_refused(value_size, "k");
	assert_refused(value_size, "1kb");
	assert_refused(value_size, "1 k");
	assert_refused(value_size, "1.5k");
	assert_refused(value_size, "99999999999999999g");
}

static void durations(void **state)
{
	assert_value(value_duration, "250ms", 250);
	assert_value(value_duration, "5s", 5000);
	assert_value(value_duration, "2m", 120000);
	assert_value(value_duration, "1h", 3600000);
	assert_value(value_duration, "0", 0);
	assert_value(value_duration, "off", 0);
	assert_value(value_duration, "0s", 0);
	assert_refused(value_duration, "5");
	assert_refused(value_duration, "s");
	assert_refused(value_duration, "5 s");
	assert_refused(value_duration, "5sec");
	assert_refused(value_duration, "1d");
	assert_refused(value_duration, "99999999999999999h");
}

static void switches(void **state)
{
	bool value = false;

	assert_int_equal(value_bool("yes", &value), 0);
	assert_true(value);
	assert_int_equal(value_bool("no", &value), 0);
	assert_false(value);
	assert_int_equal(value_bool("on", &value), 0);
	assert_true(value);
	assert_int_equal(value_bool("off", &value), 0);
	assert_false(value);
	assert_int_equal(value_bool("1", &value), 0);
	assert_true(value);
	assert_int_equal(value_bool("maybe", &value), -EINVAL);
	assert_int_equal(value_bool("", &value), -EINVAL);
	assert_int_equal(value_bool("YES", &value), -EINVAL);
	assert_true(value);
}

static void assert_duration_text(uint64_t ms, const char *expect)
{
	char buf[32];

	value_format_duration(ms, buf, sizeof(buf));
	assert_string_equal(buf, expect);
}

static void assert_size_text(uint64_t bytes, const char *expect)
{
	char buf[32];

	value_format_size(bytes, buf, sizeof(buf));
	assert_string_equal(buf, expect);
}

static void shortest_forms(void **state)
{
	assert_duration_text(0, "0");
	assert_duration_text(250, "250ms");
	assert_duration_text(5000, "5s");
	assert_duration_text(90000, "90s");
	assert_duration_text(120000, "2m");
	assert_duration_text(86400000, "24h");
	assert_size_text(0, "0");
	assert_size_text(107, "107");
	assert_size_text(65536, "64k");
	assert_size_text(1048577, "1048577");
	assert_size_text(UINT64_C(1) << 40, "1024g");
}

static void nearest_words(void **state)
{
	static const char *const known[] = { "trust", "bind", "backend", "header",
					     "header_timeout" };
	char longest[65];

	assert_string_equal(value_nearest("turst", known, ARRAY_SIZE(known)), "trust");
	assert_string_equal(value_nearest("binds", known, ARRAY_SIZE(known)), "bind");
	assert_string_equal(value_nearest("headr", known, ARRAY_SIZE(known)), "header");
	assert_string_equal(value_nearest("timeout", known, ARRAY_SIZE(known)), "header_timeout");
	assert_string_equal(value_nearest("header-timeout", known, ARRAY_SIZE(known)),
			    "header_timeout");
	assert_null(value_nearest("frobnicate", known, ARRAY_SIZE(known)));
	assert_null(value_nearest("", known, ARRAY_SIZE(known)));
	memset(longest, 'x', 64);
	longest[64] = '\0';
	assert_null(value_nearest(longest, known, ARRAY_SIZE(known)));
	assert_null(value_nearest("trust", known, 0));
}

/* The table of distances is as wide as the known word, whatever its length. */
static void nearest_of_long_words(void **state)
{
	static const char *const known[] = {
		"a_key_of_more_than_sixty_four_letters_is_never_near_to_anything_at_all_or_is_it"
	};

	assert_null(value_nearest("trust", known, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(sizes),
		cmocka_unit_test(durations),
		cmocka_unit_test(switches),
		cmocka_unit_test(shortest_forms),
		cmocka_unit_test(nearest_words),
		cmocka_unit_test(nearest_of_long_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
