/* SPDX-License-Identifier: BSD-2-Clause */
/* Interfaces out of the kernel's routes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "inline/interfaces.h"

#define HEADING \
	"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
#define REST "\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
#define ZERO "00000000000000000000000000000000"
#define V6 ZERO " 00 " ZERO " 00 " ZERO " 00000100 00000001 00000000 "

static void assert_names(struct interface_names *names, const char *expect)
{
	char text[256] = "";
	size_t at = 0;

	for (size_t i = 0; i < names->n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? " " : "",
				       names->names[i].name);
	assert_string_equal(text, expect);
	interface_names_free(names);
	assert_int_equal(names->n, 0);
}

static void ipv4(void **state)
{
	static const struct {
		const char *text, *names;
	} cases[] = {
		{ "", "" },
		{ HEADING, "" },
		{ "no heading's end", "" },
		{ HEADING "eth0" REST, "eth0" },
		{ HEADING "eth0" REST "eth1" REST "eth0" REST, "eth0 eth1" },
		{ HEADING "*" REST "wg0" REST, "wg0" },
		{ HEADING "eth0.100" REST, "eth0.100" },
		{ HEADING "cut", "cut" },
		{ HEADING "\n\neth0" REST, "eth0" },
		{ HEADING "a-name-too-long-for-the-kernel" REST, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct interface_names names = { 0 };

		assert_int_equal(interface_names_ipv4(&names, cases[i].text), 0);
		assert_names(&names, cases[i].names);
	}
}

static void ipv6(void **state)
{
	static const struct {
		const char *text, *names;
	} cases[] = {
		{ "", "" },
		{ V6 "00000001     eth0\n", "eth0" },
		{ V6 "00000001     eth0\n" V6 "80200001       lo\n" V6 "00000001     eth0\n",
		  "eth0 lo" },
		{ V6 "00200200       lo\n", "" }, /* ::/0 that refuses */
		{ V6 "00000001     eth0", "eth0" },
		{ "garbage\n\n" V6 "00000001 x\n", "x" },
		{ V6 "00000001\n", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct interface_names names = { 0 };

		assert_int_equal(interface_names_ipv6(&names, cases[i].text), 0);
		assert_names(&names, cases[i].names);
	}
}

static void both_families_are_one_list(void **state)
{
	struct interface_names names = { 0 };

	assert_int_equal(interface_names_ipv4(&names, HEADING "eth0" REST), 0);
	assert_int_equal(interface_names_ipv6(&names, V6 "1 eth0\n" V6 "1 eth1\n"), 0);
	assert_int_equal(interface_names_add(&names, "lo", 2), 0);
	assert_int_equal(interface_names_add(&names, "lo", 2), 0);
	assert_names(&names, "eth0 eth1 lo");
}

static void this_host(void **state)
{
	struct interface_names names = { 0 };
	bool lo = false;

	assert_int_equal(interface_names_default(&names), 0);
	for (size_t i = 0; i < names.n; i++)
		lo |= strcmp(names.names[i].name, "lo") == 0;
	assert_true(lo);
	interface_names_free(&names);
}

static void by_name(void **state)
{
	struct kern_interface found = { .name = "untouched" };
	unsigned kind = 0;

	assert_int_equal(interface_find("lo", &found, &kind), 0);
	assert_string_equal(found.name, "lo");
	assert_true(found.ethernet);
	assert_int_equal(found.index, 1);
	assert_int_equal(kind, 772); /* ARPHRD_LOOPBACK */
	assert_int_equal(interface_find("nothing-there", &found, &kind), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4),
		cmocka_unit_test(ipv6),
		cmocka_unit_test(both_families_are_one_list),
		cmocka_unit_test(this_host),
		cmocka_unit_test(by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
