/* SPDX-License-Identifier: BSD-2-Clause */
/* Networks: text there and back, and what is of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cidr.h"
#include "base/cleanup.h"

static struct cidr parse(const char *text)
{
	struct cidr cidr = { .prefix_len = 255 };
	const char *why = cidr_parse(text, &cidr);

	if (why)
		fail_msg("%s: %s", text, why);
	return cidr;
}

static void round_trip(void **state)
{
	static const char *const same[] = {
		"192.0.2.1",     "10.0.0.0/8",  "0.0.0.0/0",   "::/0",
		"2001:db8::/32", "2001:db8::1", "128.0.0.0/1", "::/8",
		"192.0.2.0/31",  "::1",         "::/96",       "2001:db8::/127",
	};
	static const char *const shorter[][2] = {
		{ "192.0.2.1/32", "192.0.2.1" },
		{ "::1/128", "::1" },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8" },
		{ "::ffff:0.0.0.0/96", "0.0.0.0/0" },
	};
	char text[CIDR_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		struct cidr cidr = parse(same[i]);

		assert_int_equal(cidr_format(&cidr, text, sizeof(text)), strlen(same[i]));
		assert_string_equal(text, same[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(shorter); i++) {
		struct cidr cidr = parse(shorter[i][0]);

		(void)cidr_format(&cidr, text, sizeof(text));
		assert_string_equal(text, shorter[i][1]);
	}
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"10.0.0.0/33",
		"10.0.0.0/",
		"10.0.0.0/-1",
		"10.0.0.0/08",
		"10.0.0.1/8",
		"2001::1/16",
		"::1/129",
		"1.2.3",
		"1.2.3.4 ",
		"::%lo",
		"::ffff:10.0.0.1/104",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct cidr cidr = { .prefix_len = 77 };

		if (!cidr_parse(bad[i], &cidr))
			fail_msg("taken: \"%s\"", bad[i]);
		assert_int_equal(cidr.prefix_len, 77);
	}
}

static bool holds(const char *network, const char *ip)
{
	struct cidr cidr = parse(network);
	struct up_addr addr;

	assert_int_equal(addr_parse_ip(ip, &addr), 0);
	return cidr_holds(&cidr, addr.ip);
}

static void what_is_of_them(void **state)
{
	assert_true(holds("0.0.0.0/0", "192.0.2.1"));
	assert_false(holds("0.0.0.0/0", "::1"));
	assert_true(holds("::/0", "::1"));
	assert_false(holds("::/0", "192.0.2.1"));
	assert_false(holds("::/80", "192.0.2.1"));
	assert_true(holds("10.0.0.0/9", "10.127.255.255"));
	assert_false(holds("10.0.0.0/9", "10.128.0.0"));
	assert_true(holds("2001:db8::/32", "2001:db8:ffff::"));
	assert_false(holds("2001:db8::/32", "2001:db9::"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(refused),
		cmocka_unit_test(what_is_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
