/* SPDX-License-Identifier: BSD-2-Clause */
/* Trust lists: what they match, and every way to get one wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "conf/trust.h"

static struct trust parse(const char *text)
{
	struct trust trust = { 0 };
	char bad[128] = "";

	if (trust_parse(&trust, text, bad, sizeof(bad)) < 0)
		fail_msg("refused: \"%s\": %s", text, bad);
	return trust;
}

static bool matches(const char *list, const char *source)
{
	_cleanup_(trust_free) struct trust trust = parse(list);
	struct up_addr addr;

	assert_int_equal(addr_parse(source, &addr), 0);
	return trust_match(&trust, &addr);
}

static void ipv4(void **state)
{
	assert_true(matches("10.0.0.0/8", "10.255.1.2:1"));
	assert_false(matches("10.0.0.0/8", "11.0.0.0:1"));
	assert_true(matches("192.0.2.1", "192.0.2.1:1"));
	assert_false(matches("192.0.2.1", "192.0.2.2:1"));
	assert_true(matches("192.0.2.1/32", "192.0.2.1:1"));
	assert_true(matches("172.16.0.0/12", "172.31.255.255:1"));
	assert_false(matches("172.16.0.0/12", "172.32.0.0:1"));
	assert_true(matches("128.0.0.0/1", "255.0.0.1:1"));
	assert_false(matches("128.0.0.0/1", "127.0.0.1:1"));
}

static void ipv6(void **state)
{
	assert_true(matches("2001:db8::/32", "[2001:db8:ffff::1]:1"));
	assert_false(matches("2001:db8::/32", "[2001:db9::1]:1"));
	assert_true(matches("::1", "[::1]:1"));
	assert_false(matches("::1", "[::2]:1"));
	assert_true(matches("2001:db8::/33", "[2001:db8:7fff::]:1"));
	assert_false(matches("2001:db8::/33", "[2001:db8:8000::]:1"));
}

static void mapped_rules_are_ipv4_rules(void **state)
{
	assert_true(matches("::ffff:10.0.0.0/104", "10.1.2.3:1"));
	assert_false(matches("::ffff:10.0.0.0/104", "11.1.2.3:1"));
	assert_true(matches("10.0.0.0/8", "[::ffff:10.1.2.3]:1"));
	assert_true(matches("::ffff:192.0.2.1", "192.0.2.1:1"));
}

/* IPv4 is stored inside of IPv6: a short IPv6 prefix must not take it in. */
static void a_short_ipv6_prefix_is_not_about_ipv4(void **state)
{
	assert_true(matches("::/8", "[::1]:1"));
	assert_false(matches("::/8", "10.0.0.1:1"));
	assert_false(matches("::/1", "255.255.255.255:1"));
	assert_false(matches("10.0.0.0/8", "[::]:1"));
}

static void lists(void **state)
{
	static const char list[] = " 10.0.0.0/8 ,192.0.2.1,\t2001:db8::/32 ";
	_cleanup_(trust_free) struct trust trust = parse(list);

	assert_int_equal(trust.n_rules, 3);
	assert_true(matches(list, "10.0.0.1:1"));
	assert_true(matches(list, "192.0.2.1:1"));
	assert_true(matches(list, "[2001:db8::1]:1"));
	assert_false(matches(list, "192.0.2.2:1"));
}

static void anyone(void **state)
{
	assert_true(matches("any", "10.0.0.1:1"));
	assert_true(matches(" any ", "[::1]:1"));
}

static void an_empty_list_matches_nobody(void **state)
{
	const struct trust trust = { 0 };
	struct up_addr addr;

	assert_int_equal(addr_parse("[::]:0", &addr), 0);
	assert_false(trust_match(&trust, &addr));
}

static void refused(void **state)
{
	static const struct {
		const char *text, *bad;
	} cases[] = {
		{ "", "\"\" is empty: a CIDR is expected here" },
		{ "10.0.0.0/8,", "\"\" is empty: a CIDR is expected here" },
		{ ",10.0.0.0/8", "\"\" is empty: a CIDR is expected here" },
		{ "10.0.0.0/8,,::1", "\"\" is empty: a CIDR is expected here" },
		{ "any,", "\"\" is empty: a CIDR is expected here" },
		{ "10.0.0.1/8", "\"10.0.0.1/8\" has bits set behind its prefix" },
		{ "2001:db8::1/32", "\"2001:db8::1/32\" has bits set behind its prefix" },
		{ "10.0.0.0/8, 0.0.0.0/0",
		  "\"0.0.0.0/0\" is everyone: if you mean that, spell out: any" },
		{ "::/0", "\"::/0\" is everyone: if you mean that, spell out: any" },
		{ "::ffff:0.0.0.0/96",
		  "\"::ffff:0.0.0.0/96\" is everyone: if you mean that, spell out: any" },
		{ "10.0.0.0/33", "\"10.0.0.0/33\" the prefix length is 0 to 32" },
		{ "10.0.0.0/", "\"10.0.0.0/\" the prefix length is 0 to 32" },
		{ "10.0.0.0/08", "\"10.0.0.0/08\" the prefix length is 0 to 32" },
		{ "10.0.0.0/-8", "\"10.0.0.0/-8\" the prefix length is 0 to 32" },
		{ "::1/129", "\"::1/129\" the prefix length is 0 to 128" },
		{ "::1/1280", "\"::1/1280\" the prefix length is 0 to 128" },
		{ "balancer", "\"balancer\" not an address or CIDR" },
		{ "10.0.0.0 10.0.0.1", "\"10.0.0.0 10.0.0.1\" not an address or CIDR" },
		{ "Any", "\"Any\" not an address or CIDR" },
		{ "any, 10.0.0.0/8", "\"any\" leaves nothing for other rules to say" },
		{ "10.0.0.0/8/8", "\"10.0.0.0/8/8\" the prefix length is 0 to 32" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(trust_free) struct trust trust = parse("192.0.2.1");
		char bad[128];

		if (trust_parse(&trust, cases[i].text, bad, sizeof(bad)) != -EINVAL)
			fail_msg("accepted: \"%s\"", cases[i].text);
		assert_string_equal(bad, cases[i].bad);
		assert_int_equal(trust.n_rules, 1);
		assert_false(trust.any);
	}
}

static void a_very_long_word_is_cut_and_refused(void **state)
{
	_cleanup_(trust_free) struct trust trust = { 0 };
	char text[500], bad[32];

	memset(text, '1', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(trust_parse(&trust, text, bad, sizeof(bad)), -EINVAL);
	assert_int_equal(strlen(bad), sizeof(bad) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4),
		cmocka_unit_test(ipv6),
		cmocka_unit_test(mapped_rules_are_ipv4_rules),
		cmocka_unit_test(a_short_ipv6_prefix_is_not_about_ipv4),
		cmocka_unit_test(lists),
		cmocka_unit_test(anyone),
		cmocka_unit_test(an_empty_list_matches_nobody),
		cmocka_unit_test(refused),
		cmocka_unit_test(a_very_long_word_is_cut_and_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
