/* SPDX-License-Identifier: BSD-2-Clause */
/* The set of denied networks against a list that is searched from end to end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "client/deny_set.h"

#define NOW 1000

static void free_set(struct deny_set **set)
{
	deny_set_free(*set);
}

#define _cleanup_set_ _cleanup_(free_set)

static struct deny_set *make(uint32_t max)
{
	struct deny_set *set;

	assert_int_equal(deny_set_new(max, &set), 0);
	return set;
}

static struct cidr network(const char *text)
{
	struct cidr cidr;

	assert_null(cidr_parse(text, &cidr));
	return cidr;
}

static struct deny_entry *add(struct deny_set *set, const char *text, enum up_deny_verdict verdict)
{
	struct cidr cidr = network(text);
	struct deny_entry *entry = NULL;

	assert_int_equal(deny_set_add(set, &cidr, &entry), 0);
	entry->said.control = verdict;
	return entry;
}

static const char *match(const struct deny_set *set, const char *ip)
{
	static char text[CIDR_TEXT_MAX];
	const struct deny_entry *entry;
	struct up_addr addr;
	struct cidr cidr;

	assert_int_equal(addr_parse_ip(ip, &addr), 0);
	entry = deny_set_match(set, addr.ip, NOW);
	if (!entry)
		return "-";
	cidr = deny_entry_cidr(entry);
	(void)cidr_format(&cidr, text, sizeof(text));
	return text;
}

static void empty(void **state)
{
	_cleanup_set_ struct deny_set *set = make(10);
	struct cidr any = network("0.0.0.0/0");

	assert_string_equal(match(set, "192.0.2.1"), "-");
	assert_null(deny_set_find(set, &any));
	assert_int_equal(deny_set_count(set), 0);
}

static void the_longest_prefix(void **state)
{
	_cleanup_set_ struct deny_set *set = make(10);

	add(set, "10.0.0.0/8", UP_DENY_REFUSE);
	add(set, "10.1.0.0/16", UP_DENY_ALLOW);
	add(set, "10.1.2.3", UP_DENY_REFUSE);
	add(set, "2001:db8::/32", UP_DENY_REFUSE);
	add(set, "::/0", UP_DENY_ALLOW);
	assert_string_equal(match(set, "10.2.0.1"), "10.0.0.0/8");
	assert_string_equal(match(set, "10.1.0.1"), "10.1.0.0/16");
	assert_string_equal(match(set, "10.1.2.3"), "10.1.2.3");
	assert_string_equal(match(set, "11.0.0.1"), "-");
	assert_string_equal(match(set, "2001:db8:1::"), "2001:db8::/32");
	assert_string_equal(match(set, "2001:db9::"), "::/0");
}

static void what_has_expired_is_stepped_over(void **state)
{
	_cleanup_set_ struct deny_set *set = make(10);

	add(set, "10.0.0.0/8", UP_DENY_REFUSE);
	add(set, "10.0.0.1", UP_DENY_REFUSE)->said.control_until_ns = NOW;
	add(set, "10.0.0.2", UP_DENY_REFUSE)->said.control_until_ns = NOW + 1;
	add(set, "10.0.0.3", UP_DENY_NONE);
	assert_string_equal(match(set, "10.0.0.1"), "10.0.0.0/8");
	assert_string_equal(match(set, "10.0.0.2"), "10.0.0.2");
	assert_string_equal(match(set, "10.0.0.3"), "10.0.0.0/8");
}

static void the_same_again(void **state)
{
	_cleanup_set_ struct deny_set *set = make(10);

	assert_ptr_equal(add(set, "192.0.2.0/24", UP_DENY_REFUSE),
			 add(set, "::ffff:192.0.2.0/120", UP_DENY_ALLOW));
	assert_int_equal(deny_set_count(set), 1);
	add(set, "192.0.2.0/25", UP_DENY_REFUSE);
	assert_int_equal(deny_set_count(set), 2);
}

static void full(void **state)
{
	_cleanup_set_ struct deny_set *set = make(2);
	struct cidr third = network("192.0.2.3"), second = network("192.0.2.2");
	struct deny_entry *entry = NULL;

	add(set, "192.0.2.1", UP_DENY_REFUSE);
	add(set, "192.0.2.2", UP_DENY_REFUSE);
	assert_int_equal(deny_set_add(set, &third, &entry), -ENOSPC);
	assert_null(entry);
	assert_int_equal(deny_set_add(set, &second, &entry), 0);
	deny_set_remove(set, entry);
	assert_int_equal(deny_set_add(set, &third, &entry), 0);
	entry->said.file = UP_DENY_REFUSE;
	assert_string_equal(match(set, "192.0.2.1"), "192.0.2.1");
	assert_string_equal(match(set, "192.0.2.2"), "-");
	assert_string_equal(match(set, "192.0.2.3"), "192.0.2.3");
}

/* A network of few bits, so that they meet and nest. */
static struct cidr any_network(void)
{
	struct cidr cidr = network(rand() % 2 ? "10.0.0.0" : "2001:db8::");
	int v4 = cidr_is_mapped(cidr.ip), bits = rand() % 10;

	cidr.prefix_len = (uint8_t)(128 - bits);
	cidr.ip[15] = (uint8_t)rand();
	cidr.ip[14] = (uint8_t)(rand() % 4);
	if (bits >= 8)
		cidr.ip[15] = 0;
	else
		cidr.ip[15] &= (uint8_t)(0xFF << bits);
	if (bits == 9)
		cidr.ip[14] &= 0xFE;
	if (rand() % 50 == 0)
		cidr = network(v4 ? "0.0.0.0/0" : "::/0");
	return cidr;
}

#define LIST 4096

struct listed {
	struct cidr cidr;
	bool there;
} list[LIST];
static size_t n_list;

static struct listed *list_find(const struct cidr *cidr)
{
	for (size_t i = 0; i < n_list; i++) {
		if (list[i].cidr.prefix_len == cidr->prefix_len &&
		    memcmp(list[i].cidr.ip, cidr->ip, 16) == 0)
			return &list[i];
	}
	assert_true(n_list < LIST);
	list[n_list].cidr = *cidr;
	return &list[n_list++];
}

static const struct cidr *list_match(const uint8_t ip[16])
{
	const struct cidr *best = NULL;

	for (size_t i = 0; i < n_list; i++) {
		if (list[i].there && cidr_holds(&list[i].cidr, ip) &&
		    (!best || best->prefix_len < list[i].cidr.prefix_len))
			best = &list[i].cidr;
	}
	return best;
}

static void compare(const struct deny_set *set)
{
	struct cidr client = any_network();
	const struct cidr *expect = list_match(client.ip);
	const struct deny_entry *entry = deny_set_match(set, client.ip, NOW);
	struct cidr found;

	assert_int_equal(!entry, !expect);
	if (!entry)
		return;
	found = deny_entry_cidr(entry);
	assert_int_equal(found.prefix_len, expect->prefix_len);
	assert_memory_equal(found.ip, expect->ip, 16);
}

static void at_random(void **state)
{
	_cleanup_set_ struct deny_set *set = make(LIST);
	size_t there = 0;

	srand(1);
	n_list = 0;
	for (int i = 0; i < 12000; i++) {
		struct cidr cidr = any_network();
		struct listed *listed = list_find(&cidr);
		struct deny_entry *entry;

		/* Grows and shrinks by turns. */
		if (rand() % 100 < (i / 3000 % 2 ? 20 : 80)) {
			assert_int_equal(deny_set_add(set, &cidr, &entry), 0);
			entry->said.file = UP_DENY_REFUSE;
			there += !listed->there;
			listed->there = true;
		} else {
			entry = deny_set_find(set, &cidr);
			assert_int_equal(!!entry, listed->there);
			if (entry)
				deny_set_remove(set, entry);
			there -= listed->there;
			listed->there = false;
		}
		assert_int_equal(deny_set_count(set), there);
		compare(set);
	}
	assert_true(n_list > 500);
	while (deny_set_count(set) > 0)
		deny_set_remove(set, deny_set_at(set, (size_t)rand() % deny_set_count(set)));
	assert_string_equal(match(set, "10.0.0.1"), "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(the_longest_prefix),
		cmocka_unit_test(what_has_expired_is_stepped_over),
		cmocka_unit_test(the_same_again),
		cmocka_unit_test(full),
		cmocka_unit_test(at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
