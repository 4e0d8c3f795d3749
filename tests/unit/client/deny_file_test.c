/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said of clients, in words and in files, and every way to get it wrong. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "client/deny_file.h"

#define FROM_US UINT64_C(1800000000000000)
#define SECOND UINT64_C(1000000)

static struct deny_rule parse(const char *text)
{
	struct deny_rule rule;
	char why[256] = "";

	if (deny_rule_parse(text, FROM_US, &rule, why, sizeof(why)) < 0)
		fail_msg("refused: \"%s\": %s", text, why);
	return rule;
}

static void words(void **state)
{
	struct deny_rule rule = parse("192.0.2.1");

	assert_int_equal(rule.verdict, UP_DENY_REFUSE);
	assert_int_equal(rule.cidr.prefix_len, 128);
	assert_int_equal(rule.until_us, 0);
	rule = parse("  10.0.0.0/8\tallow \r\n");
	assert_int_equal(rule.verdict, UP_DENY_ALLOW);
	assert_int_equal(rule.cidr.prefix_len, 104);
	assert_int_equal(parse("::/0 for 90s").until_us, FROM_US + 90 * SECOND);
	assert_int_equal(parse("0.0.0.0/0 for 10m").until_us, FROM_US + 600 * SECOND);
	assert_int_equal(parse("::1 allow for 2h").until_us, FROM_US + 7200 * SECOND);
	assert_int_equal(parse("::1 for 7d").until_us, FROM_US + 7 * 86400 * SECOND);
	assert_int_equal(parse("::1 until 2026-12-24T12:30:15Z").until_us, 1798115415 * SECOND);
	assert_int_equal(parse("::1 until 2026-12-24T12:30Z").until_us, 1798115400 * SECOND);
	assert_int_equal(parse("::1 until 2026-12-24").until_us, 1798070400 * SECOND);
}

static void wrong_words(void **state)
{
	static const char *const bad[][2] = {
		{ "", "\"\" not an address or CIDR" },
		{ "example.org", "\"example.org\" not an address or CIDR" },
		{ "10.0.0.1/8", "\"10.0.0.1/8\" has bits set behind its prefix" },
		{ "10.0.0.0/33", "\"10.0.0.0/33\" the prefix length is 0 to 32" },
		{ "10.0.0.0/8 deny", "\"deny\" is none of allow, for, until" },
		{ "10.0.0.0/8 allow 1h", "\"1h\" is none of allow, for, until" },
		{ "10.0.0.0/8 for", "\"\" is no time span: 90s, 10m, 1h, 7d" },
		{ "10.0.0.0/8 for 1", "\"1\" is no time span: 90s, 10m, 1h, 7d" },
		{ "10.0.0.0/8 for 0", "\"0\" is no time span: 90s, 10m, 1h, 7d" },
		{ "10.0.0.0/8 for off", "\"off\" is no time span: 90s, 10m, 1h, 7d" },
		{ "10.0.0.0/8 for d", "\"d\" is no time span: 90s, 10m, 1h, 7d" },
		{ "10.0.0.0/8 for 99999999d", "\"99999999d\" is no time span: 90s, 10m, 1h, 7d" },
		{ "10.0.0.0/8 for -1h", "\"-1h\" is no time span: 90s, 10m, 1h, 7d" },
		{ "10.0.0.0/8 for 1h 2h", "\"2h\" is one word too many" },
		{ "10.0.0.0/8 until now",
		  "\"now\" is no time: 2026-12-24T12:00:00Z, or 2026-12-24 (UTC)" },
		{ "10.0.0.0/8 until 2026-02-30",
		  "\"2026-02-30\" is no time: 2026-12-24T12:00:00Z, or 2026-12-24 (UTC)" },
		{ "10.0.0.0/8 until 2026-12-24T12:30:15",
		  "\"2026-12-24T12:30:15\" is no time: 2026-12-24T12:00:00Z, or 2026-12-24 (UTC)" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct deny_rule rule = { .line = 7 };
		char why[256] = "";

		assert_int_equal(deny_rule_parse(bad[i][0], FROM_US, &rule, why, sizeof(why)),
				 -EINVAL);
		assert_string_equal(why, bad[i][1]);
		assert_int_equal(rule.line, 7);
	}
}

static void words_without_end(void **state)
{
	static const char *const heads[] = { "", "1.1.1.1 ", "::1 for ", "::1 until ",
					     "::1 for 1h " };
	char text[4096], why[64];
	struct deny_rule rule;

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		for (size_t len = 1; len < sizeof(text) - 16; len++) {
			int n = snprintf(text, sizeof(text), "%s", heads[i]);

			memset(text + n, 'x', len);
			text[(size_t)n + len] = '\0';
			assert_int_equal(deny_rule_parse(text, 0, &rule, why, sizeof(why)),
					 -EINVAL);
		}
	}
}

static char path[] = "/tmp/unproxy-deny-XXXXXX";

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void a_file(void **state)
{
	_cleanup_(deny_rules_free) struct deny_rules rules = { 0 };
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 2000 } };
	char why[256];

	write_file("# who\n\n192.0.2.0/24 ; as in public lists\n\t \n2001:db8::1 allow\t# us\n"
		   "198.51.100.7 for 1h\n203.0.113.0/24");
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_int_equal(deny_file_read(path, 4, &rules, why, sizeof(why)), 0);
	assert_int_equal(rules.n, 4);
	assert_int_equal(rules.at[0].line, 3);
	assert_int_equal(rules.at[1].verdict, UP_DENY_ALLOW);
	assert_int_equal(rules.at[2].until_us, (2000 + 3600) * SECOND);
	assert_int_equal(rules.at[3].line, 7);
	assert_int_equal(rules.at[3].cidr.prefix_len, 96 + 24);
}

static void bad_files(void **state)
{
	static const char *const bad[][2] = {
		{ "192.0.2.1\n192.0.2.0/8\n", "2: \"192.0.2.0/8\" has bits set behind its prefix" },
		{ "\n\n1.1.1.1\n1.1.1.2\n1.1.1.3\n1.1.1.4", "6: more than deny_entries = 3" },
		{ "1.1.1.1\n1.1.1.1 for 1d\n1.1.1.1/32 allow\n",
		  "3: an earlier line says the opposite" },
		{ "1.1.1.1 # x\nx", "2: \"x\" not an address or CIDR" },
	};
	char why[256], expect[256];
	struct deny_rules rules = { .n = 77 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		write_file(bad[i][0]);
		assert_true(deny_file_read(path, 3, &rules, why, sizeof(why)) < 0);
		(void)snprintf(expect, sizeof(expect), "%s:%s", path, bad[i][1]);
		assert_string_equal(why, expect);
	}
	assert_int_equal(deny_file_read("/nowhere/at/all", 2, &rules, why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "/nowhere/at/all: No such file or directory");
	assert_int_equal(deny_file_read("/tmp", 2, &rules, why, sizeof(why)), -EISDIR);
	assert_string_equal(why, "/tmp: Is a directory");
	assert_int_equal(rules.n, 77);
}

/* What a crash leaves of a file on some file systems is not an empty list. */
static void a_file_of_nulls(void **state)
{
	static const char bytes[] = "1.1.1.1\n2.2.2.2\0junk\n\0\0";
	struct deny_rules rules = { .n = 77 };
	char why[256], expect[256];
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, sizeof(bytes) - 1, file), sizeof(bytes) - 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(deny_file_read(path, 9, &rules, why, sizeof(why)), -EINVAL);
	(void)snprintf(expect, sizeof(expect), "%s:2: a NUL byte: not a text file", path);
	assert_string_equal(why, expect);
	assert_int_equal(rules.n, 77);
}

static int make_path(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(wrong_words),
		cmocka_unit_test(words_without_end),
		cmocka_unit_test(a_file_of_nulls),
		cmocka_unit_test(a_file),
		cmocka_unit_test(bad_files),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
