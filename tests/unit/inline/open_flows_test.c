/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of what OPEN events told: found again, bounded, nothing kept for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inline/open_flows.h"

static struct open_flow flow(unsigned n, uint64_t created_ns)
{
	struct open_flow flow = { .created_ns = created_ns, .header_len = (uint16_t)n };

	flow.key.remote_port = (uint16_t)n;
	flow.key.remote_ip[0] = (uint8_t)(n >> 16);
	return flow;
}

static void found_again(void **state)
{
	struct open_flow one = flow(1, 10), two = flow(2, 10);
	struct open_flows *flows = NULL;
	struct open_flow *found;

	assert_int_equal(open_flows_new(16, &flows), 0);
	one.tlv_len = 3;
	assert_non_null(open_flows_add(flows, &one, (const uint8_t *)"abc"));
	assert_non_null(open_flows_add(flows, &two, NULL));
	assert_int_equal(open_flows_count(flows), 2);

	found = open_flows_find(flows, &one.key, 10);
	assert_non_null(found);
	assert_int_equal(found->tlv_len, 3);
	assert_memory_equal(found->tlvs, "abc", 3);
	assert_null(open_flows_find(flows, &one.key, 11));

	open_flows_remove(flows, found);
	assert_null(open_flows_find(flows, &one.key, 10));
	assert_non_null(open_flows_find(flows, &two.key, 10));
	assert_int_equal(open_flows_count(flows), 1);
	open_flows_free(flows);
}

/* A port that is used again after its end got lost. */
static void a_new_one_replaces(void **state)
{
	struct open_flow old = flow(1, 10), new = flow(1, 20);
	struct open_flows *flows = NULL;

	assert_int_equal(open_flows_new(1, &flows), 0);
	assert_non_null(open_flows_add(flows, &old, NULL));
	assert_non_null(open_flows_add(flows, &new, NULL));
	assert_int_equal(open_flows_count(flows), 1);
	assert_null(open_flows_find(flows, &old.key, 10));
	assert_non_null(open_flows_find(flows, &old.key, 20));
	open_flows_free(flows);
}

static void bounded_in_number(void **state)
{
	struct open_flows *flows = NULL;

	assert_int_equal(open_flows_new(5000, &flows), 0);
	for (unsigned n = 0; n < 5000; n++) {
		struct open_flow one = flow(n, n);

		assert_non_null(open_flows_add(flows, &one, NULL));
	}
	for (unsigned n = 5000; n < 5010; n++) {
		struct open_flow one = flow(n, n);

		assert_null(open_flows_add(flows, &one, NULL));
	}
	for (unsigned n = 0; n < 5000; n++) {
		struct open_flow one = flow(n, n);

		assert_int_equal(open_flows_find(flows, &one.key, n)->header_len, n);
	}
	open_flows_free(flows);
}

static void bounded_in_bytes(void **state)
{
	uint8_t *tlvs = calloc(1, 4000);
	struct open_flows *flows = NULL;
	size_t bytes = 0;

	assert_int_equal(open_flows_new(20000, &flows), 0);
	for (unsigned n = 0; n < 20000; n++) {
		struct open_flow one = flow(n, n), *kept;

		one.tlv_len = 4000;
		kept = open_flows_add(flows, &one, tlvs);
		assert_non_null(kept);
		bytes += kept->tlv_len;
	}
	assert_in_range(bytes, 60u << 20, 64u << 20);
	open_flows_free(flows);
	free(tlvs);
}

static void unseen_are_forgotten(void **state)
{
	struct open_flows *flows = NULL;

	assert_int_equal(open_flows_new(100, &flows), 0);
	for (unsigned n = 0; n < 100; n++) {
		struct open_flow one = flow(n, n);

		open_flows_add(flows, &one, NULL)->seen = n % 3 == 0;
	}
	open_flows_remove_unseen(flows);
	assert_int_equal(open_flows_count(flows), 34);
	open_flows_remove_unseen(flows); /* the marks are gone */
	assert_int_equal(open_flows_count(flows), 0);
	open_flows_free(flows);
	open_flows_free(NULL);
}

/* A connection's number: its own, and nobody else's who had the same ports before. */
static void numbers(void **state)
{
	struct open_flow one = flow(1, 10), two = flow(2, 10);

	assert_true(flow_number(&one.key, 10) == flow_number(&one.key, 10));
	assert_true(flow_number(&one.key, 10) != flow_number(&one.key, 11));
	assert_true(flow_number(&one.key, 10) != flow_number(&two.key, 10));
	assert_true(flow_number(&one.key, 10) != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_again),          cmocka_unit_test(a_new_one_replaces),
		cmocka_unit_test(bounded_in_number),    cmocka_unit_test(bounded_in_bytes),
		cmocka_unit_test(unseen_are_forgotten), cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
