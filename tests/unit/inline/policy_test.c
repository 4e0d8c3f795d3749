/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners as the programs' maps: keys, options, ports, and trust that means what it meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "inline/policy.h"

/* The policy of one listener and the rules it was made from. */
static void build(struct conf_listener *listeners, size_t n, struct policy *ret)
{
	struct conf conf = { .listeners = listeners, .n_listeners = n };

	assert_int_equal(policy_build(ret, &conf, NULL, NULL), 0);
}

static struct up_addr ip(const char *text)
{
	struct up_addr addr;

	assert_int_equal(addr_parse_ip(text, &addr), 0);
	return addr;
}

static void one_listener(void **state)
{
	struct up_addr addresses[] = { ip("192.0.2.1"), ip("2001:db8::1") };
	struct conf_listener listener = {
		.name = "web",
		.engine = CONF_ENGINE_INLINE,
		.port = { 80, 3000 },
		.addresses = addresses,
		.n_addresses = 2,
		.header = CONF_HEADER_OPTIONAL,
		.v1_ipv4_in_tcp6 = true,
		.untrusted = CONF_UNTRUSTED_PASS,
		.header_max = 1500,
		.header_timeout_ms = 4000,
		.trust.any = true,
	};
	struct policy policy = { 0 };

	build(&listener, 1, &policy);
	assert_int_equal(policy.n_listens, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_memory_equal(policy.keys[i].ip, addresses[i].ip, 16);
		assert_int_equal(policy.keys[i].port, 80);
		assert_string_equal(policy.listens[i].name, "web");
		assert_int_equal(policy.listens[i].app_port, 3000);
		assert_int_equal(policy.listens[i].header_max, 1500);
		assert_int_equal(policy.listens[i].timeout_ms, 4000);
		assert_int_equal(policy.listens[i].options,
				 UP_FLOW_OPTIONAL | UP_FLOW_V4_IN_TCP6 | UP_FLOW_PASS_OTHERS);
		assert_int_equal(policy_find(&policy, policy.listens[i].id), 0);
	}
	assert_int_equal(policy.ports.role[80], UP_PORT_WIRE);
	assert_int_equal(policy.ports.role[3000], UP_PORT_APP | UP_PORT_MOVED);
	assert_int_equal(policy_find(&policy, policy.listens[0].id + 1), -1);
	policy_free(&policy);
}

static void any_address_same_port(void **state)
{
	static const uint8_t zero[16];
	struct conf_listener listener = {
		.name = "web", .engine = CONF_ENGINE_INLINE, .port = { 80, 80 }, .trust.any = true
	};
	struct policy policy = { 0 };

	build(&listener, 1, &policy);
	assert_int_equal(policy.n_listens, 1);
	assert_memory_equal(policy.keys[0].ip, zero, 16);
	assert_int_equal(policy.listens[0].options, 0);
	assert_int_equal(policy.ports.role[80], UP_PORT_WIRE | UP_PORT_APP);
	policy_free(&policy);
}

/* What a name's id is does not depend on its neighbours, and relay listeners have none. */
static void ids(void **state)
{
	struct conf_listener listeners[] = {
		{ .name = "relay", .engine = CONF_ENGINE_RELAY, .trust.any = true },
		{ .name = "a", .engine = CONF_ENGINE_INLINE, .port = { 1, 1 }, .trust.any = true },
		{ .name = "b", .engine = CONF_ENGINE_INLINE, .port = { 2, 2 }, .trust.any = true },
	};
	struct policy both = { 0 }, alone = { 0 };

	build(listeners, 3, &both);
	build(&listeners[2], 1, &alone);
	assert_int_equal(both.n_listeners, 2);
	assert_int_not_equal(both.ids[0], both.ids[1]);
	assert_int_equal(both.ids[1], alone.ids[0]);
	assert_ptr_equal(both.listeners[policy_find(&both, both.ids[1])], &listeners[2]);
	policy_free(&both);
	policy_free(&alone);
}

/* A longest-prefix match, as the kernel's. */
static bool matches(const struct policy *policy, const struct up_addr *addr)
{
	for (size_t i = 0; i < policy->n_trust; i++) {
		const struct up_trust_key *key = &policy->trust[i];
		bool same = key->listener == policy->ids[0];

		assert_in_range(key->prefix_len, 32, 160);
		for (unsigned bit = 0; same && bit < key->prefix_len - 32; bit++)
			same = !((key->ip[bit / 8] ^ addr->ip[bit / 8]) & (0x80 >> bit % 8));
		if (same)
			return true;
	}
	return false;
}

static void trust_is_the_same(void **state)
{
	static const char *const lists[] = {
		"any",
		"10.0.0.0/8, 192.0.2.1",
		"2001:db8::/32",
		"::/8",
		"::/1",
		"8000::/1",
		"::/80",
		"::ffff:10.0.0.0/104",
		"::/95",
		"::1",
		"0.0.0.0/1",
		"::fffe:0:0/95",
		"fd00::/8, 127.0.0.1",
	};
	static const char *const addresses[] = {
		"10.0.0.1", "10.255.255.255", "11.0.0.0",  "192.0.2.1",  "192.0.2.2", "127.0.0.1",
		"0.0.0.0",  "255.1.2.3",      "::1",       "::",         "::2",       "2001:db8::1",
		"2001::1",  "fd00::1",        "8000::",    "7fff::1",    "00ff::1",   "0100::1",
		"::fffe:1", "::fffe:0:1",     "::1:0:0:0", "::fffd:0:1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct conf_listener listener = { .name = "web",
						  .engine = CONF_ENGINE_INLINE,
						  .port = { 80, 80 } };
		struct policy policy = { 0 };
		char bad[256];

		assert_int_equal(trust_parse(&listener.trust, lists[i], bad, sizeof(bad)), 0);
		build(&listener, 1, &policy);
		for (size_t k = 0; k < ARRAY_SIZE(addresses); k++) {
			struct up_addr addr = ip(addresses[k]);

			if (matches(&policy, &addr) != trust_match(&listener.trust, &addr))
				fail_msg("%s in %s: %d", addresses[k], lists[i],
					 matches(&policy, &addr));
		}
		policy_free(&policy);
		trust_free(&listener.trust);
	}
}

static bool is_drained(void *context, const char *listener)
{
	return strcmp(context, listener) == 0;
}

/* It is known as before, but for one word to the programs. */
static void a_drained_one(void **state)
{
	struct conf_listener listeners[] = {
		{ .name = "a", .engine = CONF_ENGINE_INLINE, .port = { 1, 1 }, .trust.any = true },
		{ .name = "b", .engine = CONF_ENGINE_INLINE, .port = { 2, 2 }, .trust.any = true },
	};
	struct conf conf = { .listeners = listeners, .n_listeners = 2 };
	struct policy policy = { 0 };

	assert_int_equal(policy_build(&policy, &conf, is_drained, "b"), 0);
	assert_int_equal(policy.listens[0].options, 0);
	assert_int_equal(policy.listens[1].options, UP_FLOW_DRAINING);
	assert_int_equal(policy.n_trust, 2);
	policy_free(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_listener),  cmocka_unit_test(any_address_same_port),
		cmocka_unit_test(ids),           cmocka_unit_test(trust_is_the_same),
		cmocka_unit_test(a_drained_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
