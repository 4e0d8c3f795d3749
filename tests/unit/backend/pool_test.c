/* SPDX-License-Identifier: BSD-2-Clause */
/* Which server is next: shares, the fewest connections, each once a connection. */
#include <errno.h>
#include <pthread.h>

#include "backend/pools.h"

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
		(void)pick_one(pool, 0);
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
		assert_int_equal(pick_one(pool, 0), i % 3);
}

/* Heavy servers do not get their share in one go. */
static void weights_are_smooth(void **state)
{
	_cleanup_pool_ struct pool *pool = MAKE(ROUNDROBIN, 5, 1, 1);
	static const int expect[] = { 0, 0, 1, 0, 2, 0, 0 };

	for (size_t i = 0; i < 3 * ARRAY_SIZE(expect); i++)
		assert_int_equal(pick_one(pool, 0), expect[i % ARRAY_SIZE(expect)]);
}

static void shares_follow_weights(void **state)
{
	const enum conf_balance balances[] = { CONF_BALANCE_ROUNDROBIN, CONF_BALANCE_LEASTCONN };

	for (size_t i = 0; i < ARRAY_SIZE(balances); i++) {
		const uint32_t weights[] = { 256, 100, 10, 1 };
		_cleanup_pool_ struct pool *pool = make_pool(balances[i], weights,
							     ARRAY_SIZE(weights));
		int count[4] = { 0 };

		for (int k = 0; k < 367 * 10; k++) {
			int server = pick_one(pool, 0);

			count[server]++;
			pool_release(pool, server);
		}
		for (size_t k = 0; k < ARRAY_SIZE(weights); k++)
			assert_int_equal(count[k], 10 * weights[k]);
	}
}

static void many_servers(void **state)
{
	_cleanup_pool_ struct pool *pool = make_pool(CONF_BALANCE_ROUNDROBIN, NULL,
						     POOL_SERVERS_MAX);
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
		_cleanup_pool_ struct pool *pool = make_pool(balances[i], weights, 2);
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
		(void)pick_one(pool, 0);
	for (int i = 0; i < 4; i++)
		pool_release(pool, 1);
	pool_release(pool, 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pick_one(pool, 0), 1);
	/* 10, 9, 9: whoever's turn it is of the two */
	assert_in_range(pick_one(pool, 0), 1, 2);
	assert_in_range(pick_one(pool, 0), 1, 2);
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
		(void)pick_one(pool, 0);
	pool_stat(pool, 0, &light);
	pool_stat(pool, 1, &heavy);
	assert_in_range(light.active, 99, 101);
	assert_int_equal(light.active + heavy.active, 400);
}

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
	assert_int_equal(pick_one(pool, 0), 0); /* it has fewer */
	pool_release(pool, 1);
	assert_true(pool_stat(pool, 1, &stat));
	assert_int_equal(stat.active, 1);
	addr.port = 3;
	assert_int_equal(pool_join(pool, &addr, NULL), -ENOENT);
}

#define THREADS 4
#define ROUNDS 50000

/* Servers fail and come back at random under everyone's hands. */
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
		_cleanup_pool_ struct pool *pool = make_pool(balances[i], weights, 3);
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
		cmocka_unit_test(connections_from_elsewhere),
		cmocka_unit_test(workers_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
