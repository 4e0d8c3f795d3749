/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers that refuse: rests that double, one probe at a time, the last resort, what is said. */
#include <errno.h>

#include "backend/change.h"
#include "backend/pools.h"

static void a_resting_server_is_left_out(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1, 1);
	struct pool_stat stat;

	assert_int_equal(pick_one(pool, 0), 0);
	assert_true(pool_down(pool, 0, 0));
	pool_stat(pool, 0, &stat);
	assert_true(stat.resting);
	assert_int_equal(stat.failed, 1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pick_one(pool, 800), 1);
}

static void a_server_is_probed_when_its_rest_is_over(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);
	struct pool_stat stat;
	uint64_t total;

	assert_false(pool_probe(pool, 0, 0)); /* it is well */
	assert_int_equal(pick_one(pool, 0), 0);
	pool_release(pool, 0);
	pool_stat(pool, 0, &stat);
	total = stat.total;
	assert_true(pool_down(pool, 0, 0));
	assert_false(pool_probe(pool, 0, 800)); /* it rests */
	assert_true(pool_probe(pool, 0, 1200));
	assert_false(pool_probe(pool, 0, 1200)); /* one at a time */
	assert_true(pool_up(pool, 0));
	assert_false(pool_probe(pool, 0, 1200));
	pool_stat(pool, 0, &stat);
	assert_int_equal(stat.total, total); /* no connection of a client */
	assert_int_equal(stat.active, 0);
}

/* The last resort: each once a connection, first the one whose rest is over first. */
static void all_rest(void **state)
{
	const enum conf_balance balances[] = { CONF_BALANCE_ROUNDROBIN, CONF_BALANCE_LEASTCONN };

	for (size_t i = 0; i < ARRAY_SIZE(balances); i++) {
		const uint32_t weights[] = { 1, 1, 1 };
		_cleanup_pool_ struct pool *pool = make_pool(balances[i], weights, 3);
		struct pool_tried tried = { 0 };
		struct pool_stat stat;

		assert_true(pool_down(pool, 0, 500));
		assert_true(pool_down(pool, 1, 0));
		assert_int_equal(pick_one(pool, 500), 2); /* while one is well */
		assert_true(pool_down(pool, 2, 250));
		assert_int_equal(pool_pick(pool, &tried, 500), 1);
		assert_false(pool_down(pool, 1, 500));
		assert_int_equal(pool_pick(pool, &tried, 500), 2);
		assert_int_equal(pool_pick(pool, &tried, 500), 0);
		assert_int_equal(pool_pick(pool, &tried, 500), -EAGAIN);
		pool_stat(pool, 1, &stat);
		assert_true(stat.resting);
		assert_true(pool_probe(pool, 1, 1100)); /* its rest is none the longer */
		assert_true(pool_up(pool, 2));
		for (int k = 0; k < 10; k++)
			assert_int_equal(pick_one(pool, 500), 2);
	}
}

/* Back before its rest is over: the next connection is served, and all others after it. */
static void the_only_server_is_back(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);
	struct pool_stat stat;

	assert_true(pool_down(pool, 0, 0));
	assert_int_equal(pick_one(pool, 1), 0);
	assert_false(pool_down(pool, 0, 1));
	assert_int_equal(pick_one(pool, 1), 0);
	assert_true(pool_up(pool, 0));
	pool_stat(pool, 0, &stat);
	assert_false(stat.resting);
	for (int i = 0; i < 10 * POOL_INSIST_MAX; i++)
		assert_int_equal(pick_one(pool, 1), 0);
}

/* So many tries at once, and then one in POOL_INSIST_MS: each server alone. */
static void a_resting_server_is_not_tried_by_everyone(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1, 1);
	uint64_t now = 500;

	assert_true(pool_down(pool, 0, 0));
	assert_true(pool_down(pool, 1, now));
	for (int i = 0; i < 2 * POOL_INSIST_MAX; i++)
		assert_int_equal(pick_one(pool, now), i >= POOL_INSIST_MAX);
	for (int i = 0; i < 20; i++, now += POOL_INSIST_MS) {
		for (int k = 0; k < 2 && i > 0; k++)
			assert_int_equal(pick_one(pool, now), k);
		assert_int_equal(pick_one(pool, now), -EAGAIN);
	}
	assert_true(pool_up(pool, 1));
	assert_int_equal(pick_one(pool, now), 1);
}

/* Nobody is sent to a server that is being drained, well or not. */
static void a_drained_server_is_no_last_resort(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1, 1);
	struct conf_server server = server_at(1, 1);
	struct pool_change *change;

	assert_int_equal(pool_change_one(pool, POOL_DRAIN, &server, &change), 0);
	pool_change_apply(change);
	assert_true(pool_down(pool, 0, 0));
	assert_true(pool_down(pool, 1, 0));
	for (int i = 0; i < 10; i++)
		assert_int_equal(pick_one(pool, 100), 1);
	server.addr.port = 2;
	assert_int_equal(pool_change_one(pool, POOL_REMOVE, &server, &change), 0);
	pool_change_apply(change);
	assert_int_equal(pick_one(pool, 100), -EAGAIN);
}

/* Ten times a second: each time at first, and then once in retry_ms. */
static void one_that_comes_and_goes_is_said_now_and_then(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);
	uint64_t now = 0;
	int down = 0, up = 0;

	for (; now < 100 * RETRY_MS; now += 100) {
		down += pool_down(pool, 0, now);
		up += pool_up(pool, 0);
		assert_int_equal(down, up);
		assert_true(down <= POOL_SAY_MAX + (int)(now / RETRY_MS));
	}
	assert_in_range(down, 100, 100 + POOL_SAY_MAX);
	/* It stays down: that is said late, but it is said, and once. */
	down = 0;
	for (uint64_t end = now + 10 * RETRY_MS; now < end; now += 10)
		down += pool_down(pool, 0, now);
	assert_int_equal(down, 1);
	assert_true(pool_up(pool, 0));
	assert_false(pool_up(pool, 0));
}

/* When is its rest over? The first millisecond at which it may be probed; the probe is lost. */
static uint64_t rest_of(struct pool *pool, uint64_t from)
{
	for (uint64_t now = from;; now++) {
		if (pool_probe(pool, 0, now))
			return now - from;
		assert_true(now - from < 20000);
	}
}

static void rests_double_up_to_the_limit(void **state)
{
	static const uint64_t expect[] = { 1000, 2000, 4000, 8000, 8000, 8000 };
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);
	uint64_t now = 1000000;

	assert_true(pool_down(pool, 0, now));
	for (size_t i = 0; i < ARRAY_SIZE(expect); i++) {
		uint64_t rest = rest_of(pool, now);

		assert_in_range(rest, expect[i] * 9 / 10, expect[i] * 11 / 10);
		now += rest;
		assert_false(pool_down(pool, 0, now));
	}
	now += rest_of(pool, now);
	assert_true(pool_up(pool, 0));
	assert_true(pool_down(pool, 0, now));
	assert_in_range(rest_of(pool, now), 900, 1100);
}

static void rests_are_not_all_of_one_length(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);
	uint64_t shortest = UINT64_MAX, longest = 0;

	for (uint64_t now = 0; now < 2000000; now += 100000) {
		uint64_t rest;

		assert_true(pool_down(pool, 0, now));
		rest = rest_of(pool, now);
		shortest = rest < shortest ? rest : shortest;
		longest = rest > longest ? rest : longest;
		assert_true(pool_up(pool, 0));
	}
	assert_true(longest - shortest >= 50);
}

static void one_probe_at_a_time(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1, 1);
	struct pool_stat stat;

	assert_true(pool_down(pool, 0, 0));
	assert_int_equal(pick_one(pool, 1100), 0);
	for (uint64_t now = 1100; now < 1100 + CONNECT_MS; now += 100)
		assert_int_equal(pick_one(pool, now), 1);

	assert_true(pool_up(pool, 0));
	assert_false(pool_up(pool, 0));
	pool_stat(pool, 0, &stat);
	assert_false(stat.resting);
	assert_int_equal(pick_one(pool, 1100) + pick_one(pool, 1100), 1);
}

/* The client went away while its connection probed: somebody else may after a while. */
static void a_probe_that_is_never_heard_of(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(LEASTCONN, 1, 1);

	assert_true(pool_down(pool, 0, 0));
	assert_int_equal(pick_one(pool, 2000), 0);
	pool_release(pool, 0);
	assert_int_equal(pick_one(pool, 2000 + CONNECT_MS - 1), 1);
	assert_int_equal(pick_one(pool, 2000 + CONNECT_MS), 0);
}

/* A hundred connections on their way when it dies: one message, one rest of the first length. */
static void failures_in_a_crowd_count_once(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);
	struct pool_stat stat;

	for (int i = 0; i < 100; i++)
		assert_int_equal(pick_one(pool, 0), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(pool_down(pool, 0, 10), i == 0);
	pool_stat(pool, 0, &stat);
	assert_int_equal(stat.failed, 100);
	assert_in_range(rest_of(pool, 10), 900, 1100);
}

/* The first is told of at once, the others every ten seconds in one line. */
static void no_server_is_said_now_and_then(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);

	assert_int_equal(pool_none(pool, 5), 1);
	for (uint64_t now_ms = 5; now_ms < 10005; now_ms += 10)
		assert_int_equal(pool_none(pool, now_ms), 0);
	assert_int_equal(pool_none(pool, 10005), 1001);
	assert_int_equal(pool_none(pool, 10006), 0);
}

/* A probe that fails goes on to another server in the same connection. */
static void a_failed_probe_costs_its_client_nothing(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1, 1);
	struct pool_tried tried = { 0 };
	int server;

	assert_true(pool_down(pool, 0, 0));
	do {
		tried = (struct pool_tried){ 0 };
		server = pool_pick(pool, &tried, 1200);
	} while (server != 0);
	assert_false(pool_down(pool, 0, 1200));
	pool_release(pool, 0);
	assert_int_equal(pool_pick(pool, &tried, 1200), 1);
	assert_int_equal(pool_pick(pool, &tried, 1200), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_resting_server_is_left_out),
		cmocka_unit_test(all_rest),
		cmocka_unit_test(the_only_server_is_back),
		cmocka_unit_test(a_resting_server_is_not_tried_by_everyone),
		cmocka_unit_test(a_drained_server_is_no_last_resort),
		cmocka_unit_test(one_that_comes_and_goes_is_said_now_and_then),
		cmocka_unit_test(no_server_is_said_now_and_then),
		cmocka_unit_test(rests_double_up_to_the_limit),
		cmocka_unit_test(rests_are_not_all_of_one_length),
		cmocka_unit_test(one_probe_at_a_time),
		cmocka_unit_test(a_probe_that_is_never_heard_of),
		cmocka_unit_test(failures_in_a_crowd_count_once),
		cmocka_unit_test(a_failed_probe_costs_its_client_nothing),
		cmocka_unit_test(a_server_is_probed_when_its_rest_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
