/* SPDX-License-Identifier: BSD-2-Clause */
/* Which server is next: shares, the fewest connections, rests that double, one probe at a time. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/pool.h"
#include "base/addr.h"
#include "base/cleanup.h"

#define RETRY_MS 1000
#define RETRY_MAX_MS 8000
#define CONNECT_MS 5000

static void free_pool(struct pool **pool)
{
	pool_free(*pool);
}

#define _cleanup_pool_ _cleanup_(free_pool)

static struct pool *make(enum conf_balance balance, const uint32_t *weights, size_t n)
{
	struct conf_server servers[POOL_SERVERS_MAX] = { 0 };
	struct conf_backend conf = {
		.balance = balance,
		.retry_ms = RETRY_MS,
		.retry_max_ms = RETRY_MAX_MS,
		.connect_timeout_ms = CONNECT_MS,
		.servers = servers,
		.n_servers = n,
	};
	struct pool *pool;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(addr_parse("10.0.0.1:1", &servers[i].addr), 0);
		servers[i].addr.port = (uint16_t)(1 + i);
		servers[i].weight = weights ? weights[i] : 1;
	}
	assert_int_equal(pool_new(&conf, &pool), 0);
	return pool;
}

#define MAKE(balance, ...)                                              \
	make(CONF_BALANCE_##balance, (const uint32_t[]){ __VA_ARGS__ }, \
	     sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

/* A connection that tries one server. */
static int pick(struct pool *pool, uint64_t now)
{
	struct pool_tried tried = { 0 };

	return pool_pick(pool, &tried, now);
}

static void refused_sizes(void **state)
{
	struct conf_backend conf = { .n_servers = 0 };
	struct pool *pool = NULL;

	assert_int_equal(pool_new(&conf, &pool), -EINVAL);
	conf.n_servers = POOL_SERVERS_MAX + 1;
	assert_int_equal(pool_new(&conf, &pool), -EINVAL);
	assert_null(pool);
	pool_free(NULL);
}

static void addresses_and_figures(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1, 7);
	struct pool_stat stat;

	assert_int_equal(pool_size(pool), 2);
	assert_int_equal(pool_addr(pool, 1)->port, 2);
	for (int i = 0; i < 8; i++)
		(void)pick(pool, 0);
	pool_release(pool, 1);
	pool_stat(pool, 1, &stat);
	assert_int_equal(stat.addr.port, 2);
	assert_int_equal(stat.weight, 7);
	assert_int_equal(stat.active, 6);
	assert_int_equal(stat.total, 7);
	assert_int_equal(stat.failed, 0);
	assert_false(stat.resting);
}

static void in_turn(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1, 1, 1);

	for (int i = 0; i < 9; i++)
		assert_int_equal(pick(pool, 0), i % 3);
}

/* Heavy servers do not get their share in one go. */
static void weights_are_smooth(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 5, 1, 1);
	static const int expect[] = { 0, 0, 1, 0, 2, 0, 0 };

	for (size_t i = 0; i < 3 * ARRAY_SIZE(expect); i++)
		assert_int_equal(pick(pool, 0), expect[i % ARRAY_SIZE(expect)]);
}

static void shares_follow_weights(void **state)
{
	const enum conf_balance balances[] = { CONF_BALANCE_ROUNDROBIN, CONF_BALANCE_LEASTCONN };

	for (size_t i = 0; i < ARRAY_SIZE(balances); i++) {
		const uint32_t weights[] = { 256, 100, 10, 1 };
		_cleanup_pool_ struct pool *pool = make(balances[i], weights, ARRAY_SIZE(weights));
		int count[4] = { 0 };

		for (int k = 0; k < 367 * 10; k++) {
			int server = pick(pool, 0);

			count[server]++;
			pool_release(pool, server);
		}
		for (size_t k = 0; k < ARRAY_SIZE(weights); k++)
			assert_int_equal(count[k], 10 * weights[k]);
	}
}

static void many_servers(void **state)
{
	_cleanup_pool_ struct pool *pool = make(CONF_BALANCE_ROUNDROBIN, NULL, POOL_SERVERS_MAX);
	struct pool_tried tried = { 0 };
	uint64_t seen[4] = { 0 };

	for (int i = 0; i < POOL_SERVERS_MAX; i++) {
		int server = pool_pick(pool, &tried, 0);

		assert_in_range(server, 0, POOL_SERVERS_MAX - 1);
		assert_int_equal(seen[server / 64] >> server % 64 & 1, 0);
		seen[server / 64] |= UINT64_C(1) << server % 64;
	}
	assert_int_equal(pool_pick(pool, &tried, 0), -EAGAIN);
}

static void each_server_once_a_connection(void **state)
{
	const enum conf_balance balances[] = { CONF_BALANCE_ROUNDROBIN, CONF_BALANCE_LEASTCONN };

	for (size_t i = 0; i < ARRAY_SIZE(balances); i++) {
		const uint32_t weights[] = { 3, 1 };
		_cleanup_pool_ struct pool *pool = make(balances[i], weights, 2);
		struct pool_tried tried = { 0 };
		int first = pool_pick(pool, &tried, 0), second = pool_pick(pool, &tried, 0);

		assert_int_equal(first + second, 1);
		assert_int_equal(pool_pick(pool, &tried, 0), -EAGAIN);
	}
}

static void fewest_connections(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(LEASTCONN, 1, 1, 1);

	for (int i = 0; i < 30; i++)
		(void)pick(pool, 0);
	for (int i = 0; i < 4; i++)
		pool_release(pool, 1);
	pool_release(pool, 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pick(pool, 0), 1);
	/* 10, 9, 9: whoever's turn it is of the two */
	assert_in_range(pick(pool, 0), 1, 2);
	assert_in_range(pick(pool, 0), 1, 2);
	for (int i = 0; i < 3; i++) {
		struct pool_stat stat;

		pool_stat(pool, i, &stat);
		assert_int_equal(stat.active, 10);
	}
}

static void fewest_connections_by_weight(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(LEASTCONN, 1, 3);
	struct pool_stat light, heavy;

	for (int i = 0; i < 400; i++)
		(void)pick(pool, 0);
	pool_stat(pool, 0, &light);
	pool_stat(pool, 1, &heavy);
	assert_in_range(light.active, 99, 101);
	assert_int_equal(light.active + heavy.active, 400);
}

static void a_resting_server_is_left_out(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1, 1);
	struct pool_stat stat;

	assert_int_equal(pick(pool, 0), 0);
	assert_true(pool_down(pool, 0, 0));
	pool_stat(pool, 0, &stat);
	assert_true(stat.resting);
	assert_int_equal(stat.failed, 1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pick(pool, 800), 1);
}

static void a_server_is_probed_when_its_rest_is_over(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);
	struct pool_stat stat;
	uint64_t total;

	assert_false(pool_probe(pool, 0, 0)); /* it is well */
	assert_int_equal(pick(pool, 0), 0);
	pool_release(pool, 0);
	pool_stat(pool, 0, &stat);
	total = stat.total;
	assert_true(pool_down(pool, 0, 0));
	assert_false(pool_probe(pool, 0, 800)); /* it rests */
	assert_true(pool_probe(pool, 0, 1200));
	assert_false(pool_probe(pool, 0, 1200)); /* one at a time, and no client meanwhile */
	assert_int_equal(pick(pool, 1200), -EAGAIN);
	assert_true(pool_up(pool, 0));
	assert_false(pool_probe(pool, 0, 1200));
	pool_stat(pool, 0, &stat);
	assert_int_equal(stat.total, total); /* no connection of a client */
	assert_int_equal(stat.active, 0);
}

static void nobody_left(void **state)
{
	const enum conf_balance balances[] = { CONF_BALANCE_ROUNDROBIN, CONF_BALANCE_LEASTCONN };

	for (size_t i = 0; i < ARRAY_SIZE(balances); i++) {
		const uint32_t weights[] = { 1, 1 };
		_cleanup_pool_ struct pool *pool = make(balances[i], weights, 2);

		assert_true(pool_down(pool, 0, 0));
		assert_true(pool_down(pool, 1, 0));
		assert_int_equal(pick(pool, 800), -EAGAIN);
		assert_true(pick(pool, 1200) >= 0);
	}
}

/* When may it be tried again? The first millisecond at which it is picked, the probe lost. */
static uint64_t rest_of(struct pool *pool, uint64_t from)
{
	for (uint64_t now = from;; now++) {
		if (pick(pool, now) == 0)
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
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);
	struct pool_stat stat;

	assert_true(pool_down(pool, 0, 0));
	assert_int_equal(pick(pool, 1100), 0);
	assert_int_equal(pick(pool, 1100), -EAGAIN);
	assert_int_equal(pick(pool, 1100 + CONNECT_MS - 1), -EAGAIN);

	assert_true(pool_up(pool, 0));
	assert_false(pool_up(pool, 0));
	pool_stat(pool, 0, &stat);
	assert_false(stat.resting);
	assert_int_equal(pick(pool, 1100), 0);
	assert_int_equal(pick(pool, 1100), 0);
}

/* The client went away while its connection probed: somebody else may after a while. */
static void a_probe_that_is_never_heard_of(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(LEASTCONN, 1);

	assert_true(pool_down(pool, 0, 0));
	assert_int_equal(pick(pool, 2000), 0);
	pool_release(pool, 0);
	assert_int_equal(pick(pool, 2000 + CONNECT_MS - 1), -EAGAIN);
	assert_int_equal(pick(pool, 2000 + CONNECT_MS), 0);
}

/* A hundred connections on their way when it dies: one message, one rest of the first length. */
static void failures_in_a_crowd_count_once(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 1);
	struct pool_stat stat;

	for (int i = 0; i < 100; i++)
		assert_int_equal(pick(pool, 0), 0);
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

#define THREADS 4
#define ROUNDS 50000

/* Servers fail and come back at random under everyone's hands. */
/* Connections that another process has opened count like those that were picked. */
static void connections_from_elsewhere(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(LEASTCONN, 1, 1);
	struct pool_tried tried = { 0 };
	struct pool_stat stat;
	struct up_addr addr;

	assert_int_equal(addr_parse("10.0.0.1:2", &addr), 0);
	assert_int_equal(pool_join(pool, &addr, NULL), 1);
	assert_int_equal(pool_join(pool, &addr, &tried), 1);
	assert_true(pool_stat(pool, 1, &stat));
	assert_int_equal(stat.active, 2);
	assert_int_equal(stat.total, 0);
	assert_int_equal(pool_pick(pool, &tried, 0), 0);
	assert_int_equal(pool_pick(pool, &tried, 0), -EAGAIN);
	assert_int_equal(pick(pool, 0), 0); /* it has fewer */
	pool_release(pool, 1);
	assert_true(pool_stat(pool, 1, &stat));
	assert_int_equal(stat.active, 1);
	addr.port = 3;
	assert_int_equal(pool_join(pool, &addr, NULL), -ENOENT);
}

static void *work(void *arg)
{
	struct pool *pool = arg;
	uint32_t x = (uint32_t)(uintptr_t)&pool;

	for (uint64_t now = 0; now < ROUNDS; now++) {
		struct pool_tried tried = { 0 };
		int server;

		while ((server = pool_pick(pool, &tried, now)) >= 0) {
			x = x * 1664525 + 1013904223;
			if (x >> 28 != 0) {
				(void)pool_up(pool, server);
				pool_release(pool, server);
				break;
			}
			(void)pool_down(pool, server, now);
			pool_release(pool, server);
		}
	}
	return NULL;
}

static void workers_together(void **state)
{
	const enum conf_balance balances[] = { CONF_BALANCE_ROUNDROBIN, CONF_BALANCE_LEASTCONN };

	for (size_t i = 0; i < ARRAY_SIZE(balances); i++) {
		const uint32_t weights[] = { 1, 2, 3 };
		_cleanup_pool_ struct pool *pool = make(balances[i], weights, 3);
		pthread_t threads[THREADS];

		for (size_t k = 0; k < THREADS; k++)
			assert_int_equal(pthread_create(&threads[k], NULL, work, pool), 0);
		for (size_t k = 0; k < THREADS; k++)
			assert_int_equal(pthread_join(threads[k], NULL), 0);
		for (int k = 0; k < 3; k++) {
			struct pool_stat stat;

			pool_stat(pool, k, &stat);
			assert_int_equal(stat.active, 0);
			assert_true(stat.total > 0);
			assert_true(stat.failed < stat.total);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_sizes),
		cmocka_unit_test(addresses_and_figures),
		cmocka_unit_test(in_turn),
		cmocka_unit_test(weights_are_smooth),
		cmocka_unit_test(shares_follow_weights),
		cmocka_unit_test(many_servers),
		cmocka_unit_test(each_server_once_a_connection),
		cmocka_unit_test(fewest_connections),
		cmocka_unit_test(fewest_connections_by_weight),
		cmocka_unit_test(a_resting_server_is_left_out),
		cmocka_unit_test(nobody_left),
		cmocka_unit_test(no_server_is_said_now_and_then),
		cmocka_unit_test(rests_double_up_to_the_limit),
		cmocka_unit_test(rests_are_not_all_of_one_length),
		cmocka_unit_test(one_probe_at_a_time),
		cmocka_unit_test(a_probe_that_is_never_heard_of),
		cmocka_unit_test(failures_in_a_crowd_count_once),
		cmocka_unit_test(a_failed_probe_costs_its_client_nothing),
		cmocka_unit_test(connections_from_elsewhere),
		cmocka_unit_test(a_server_is_probed_when_its_rest_is_over),
		cmocka_unit_test(workers_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
