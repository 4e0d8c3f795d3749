/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers come, go, drain and change their weight while others pick. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "backend/change.h"
#include "backend/pools.h"

static int change(struct pool *pool, enum pool_action action, unsigned port, uint32_t weight)
{
	struct conf_server which = server_at(port, weight);
	struct pool_change *to = NULL;
	int r = pool_change_one(pool, action, &which, &to);

	if (r == 0)
		pool_change_apply(to);
	else
		assert_null(to);
	return r;
}

static int change_to(struct pool *pool, const struct conf_server *servers, size_t n)
{
	const struct conf_backend conf = { .retry_ms = 1,
					   .retry_max_ms = 1,
					   .connect_timeout_ms = 1,
					   .servers = (struct conf_server *)servers,
					   .n_servers = n };
	struct pool_change *to = NULL;
	int r = pool_change_to(pool, &conf, &to);

	if (r == 0)
		pool_change_apply(to);
	return r;
}

/* The port of the server that a connection goes to; 0: none. */
static unsigned pick(struct pool *pool, int *ret)
{
	struct pool_tried tried = { 0 };
	int picked = pool_pick(pool, &tried, 0);

	if (ret)
		*ret = picked;
	return picked < 0 ? 0 : pool_addr(pool, picked)->port;
}

static struct pool_stat stat_of(const struct pool *pool, unsigned port)
{
	struct pool_stat stat;

	for (size_t i = 0; i < pool_size(pool); i++) {
		if (pool_stat(pool, (int)i, &stat) && stat.addr.port == port)
			return stat;
	}
	return (struct pool_stat){ .state = POOL_NONE };
}

static void added_and_removed(void **state)
{
	_cleanup_pool_ struct pool *pool = make_pool(CONF_BALANCE_ROUNDROBIN, NULL, 1);
	int first;

	assert_int_equal(pick(pool, &first), 1);
	assert_int_equal(change(pool, POOL_ADD, 2, 1), 0);
	assert_int_equal(change(pool, POOL_ADD, 2, 1), -EEXIST);
	assert_int_equal(pick(pool, NULL) + pick(pool, NULL), 3);

	assert_int_equal(change(pool, POOL_REMOVE, 1, 0), 0);
	assert_int_equal(change(pool, POOL_REMOVE, 1, 0), -ENOENT);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pick(pool, NULL), 2);
	/* It is there until its last connections are over. */
	assert_int_equal(stat_of(pool, 1).state, POOL_REMOVED);
	assert_int_equal(stat_of(pool, 1).active, 2);
	assert_int_equal(pool_addr(pool, first)->port, 1);
	pool_release(pool, first);
	assert_int_equal(stat_of(pool, 1).state, POOL_REMOVED);
	pool_release(pool, first);
	assert_int_equal(stat_of(pool, 1).state, POOL_NONE);
}

/* A backend may be emptied, and filled again. */
static void the_last_one(void **state)
{
	const enum conf_balance balances[] = { CONF_BALANCE_ROUNDROBIN, CONF_BALANCE_LEASTCONN };

	for (size_t i = 0; i < ARRAY_SIZE(balances); i++) {
		_cleanup_pool_ struct pool *pool = make_pool(balances[i], NULL, 1);

		assert_int_equal(change(pool, POOL_REMOVE, 1, 0), 0);
		assert_int_equal(pick(pool, NULL), 0);
		assert_int_equal(change(pool, POOL_ADD, 3, 1), 0);
		assert_int_equal(pick(pool, NULL), 3);
		assert_int_equal(pool_size(pool), 1);
	}
}

static void drained_and_ready(void **state)
{
	_cleanup_pool_ struct pool *pool = make_pool(CONF_BALANCE_LEASTCONN, NULL, 2);
	int held;

	assert_int_equal(pick(pool, &held), 1);
	assert_int_equal(change(pool, POOL_DRAIN, 1, 0), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pick(pool, NULL), 2);
	assert_int_equal(stat_of(pool, 1).state, POOL_DRAINING);
	assert_int_equal(stat_of(pool, 1).active, 1);
	assert_int_equal(change(pool, POOL_UNDRAIN, 1, 0), 0);
	assert_int_equal(pick(pool, NULL), 1);
	assert_int_equal(change(pool, POOL_DRAIN, 9, 0), -ENOENT);
	pool_release(pool, held);
}

static void weighed(void **state)
{
	_cleanup_pool_ struct pool *pool = make_pool(CONF_BALANCE_ROUNDROBIN, NULL, 2);
	unsigned count[3] = { 0 };

	assert_int_equal(change(pool, POOL_WEIGH, 2, 3), 0);
	assert_int_equal(stat_of(pool, 2).weight, 3);
	for (int i = 0; i < 40; i++)
		count[pick(pool, NULL)]++;
	assert_int_equal(count[1], 10);
	assert_int_equal(count[2], 30);
}

/* What stays keeps its place, its connections and its figures. */
static void another_configuration(void **state)
{
	_cleanup_pool_ struct pool *pool = make_pool(CONF_BALANCE_ROUNDROBIN, NULL, 3);
	const struct conf_server next[] = { server_at(4, 1), server_at(3, 5), server_at(2, 1) };
	int held[3];

	for (int i = 0; i < 3; i++)
		assert_int_equal(pick(pool, &held[i]), 1 + i);
	assert_true(pool_down(pool, held[2], 0));
	assert_int_equal(change(pool, POOL_DRAIN, 2, 0), 0);
	assert_int_equal(change_to(pool, next, ARRAY_SIZE(next)), 0);

	assert_int_equal(stat_of(pool, 1).state, POOL_REMOVED);
	assert_int_equal(stat_of(pool, 2).state, POOL_READY);
	assert_int_equal(stat_of(pool, 2).active, 1);
	assert_int_equal(stat_of(pool, 3).weight, 5);
	assert_int_equal(stat_of(pool, 3).active, 1);
	assert_true(stat_of(pool, 3).resting);
	assert_int_equal(stat_of(pool, 4).total, 0);
	for (int i = 0; i < 3; i++)
		pool_release(pool, held[i]);
	assert_int_equal(stat_of(pool, 1).state, POOL_NONE);
}

/* One that comes back while its last connections go on is the same one. */
static void back_again(void **state)
{
	_cleanup_pool_ struct pool *pool = make_pool(CONF_BALANCE_ROUNDROBIN, NULL, 1);
	int held;

	assert_int_equal(pick(pool, &held), 1);
	assert_int_equal(change(pool, POOL_REMOVE, 1, 0), 0);
	assert_int_equal(change(pool, POOL_ADD, 1, 2), 0);
	assert_int_equal(pool_size(pool), 1);
	assert_int_equal(stat_of(pool, 1).active, 1);
	assert_int_equal(stat_of(pool, 1).weight, 2);
	pool_release(pool, held);
}

/* A change that is made and not applied leaves the pool as it was. */
static void not_applied(void **state)
{
	_cleanup_pool_ struct pool *pool = make_pool(CONF_BALANCE_ROUNDROBIN, NULL, 2);
	const struct conf_server next[] = { server_at(7, 1) };
	const struct conf_backend conf = { .servers = (struct conf_server *)next, .n_servers = 1 };
	struct pool_change *to;

	assert_int_equal(pool_change_to(pool, &conf, &to), 0);
	pool_change_free(to);
	pool_change_free(NULL);
	assert_int_equal(pick(pool, NULL), 1);
	assert_int_equal(pick(pool, NULL), 2);
	assert_int_equal(pool_size(pool), 2);
}

static void no_place_left(void **state)
{
	_cleanup_pool_ struct pool *pool = make_pool(CONF_BALANCE_LEASTCONN, NULL,
						     POOL_SERVERS_MAX);
	struct conf_server next[POOL_SERVERS_MAX];
	int held;

	assert_int_equal(change(pool, POOL_ADD, 1000, 1), -ENOSPC);
	/* All are replaced while each has a connection; once more there is no room. */
	for (unsigned round = 0; round < 2; round++) {
		for (int i = 0; i < POOL_SERVERS_MAX; i++)
			assert_true(pick(pool, &held) > 0);
		for (unsigned i = 0; i < POOL_SERVERS_MAX; i++)
			next[i] = server_at(1000 * (round + 1) + i, 1);
		assert_int_equal(change_to(pool, next, POOL_SERVERS_MAX), round ? -ENOSPC : 0);
	}
	assert_int_equal(stat_of(pool, 1).state, POOL_REMOVED);
	assert_int_equal(stat_of(pool, 1000).state, POOL_READY);
	pool_release(pool, held);
	assert_int_equal(change_to(pool, next, 1), -ENOSPC);
	for (int i = 0; i < POOL_SERVERS_MAX; i++)
		pool_release(pool, i);
	assert_int_equal(change_to(pool, next, 1), 0);
	assert_int_equal(pick(pool, NULL), 2000);
}

#define THREADS 3
#define CHANGES 3000

struct crowd {
	struct pool *pool;
	_Atomic bool over;
	_Atomic unsigned wrong;
};

/* A server that is picked has its own address for as long as it is held. */
static void *pick_all_day(void *arg)
{
	struct crowd *crowd = arg;

	while (!atomic_load(&crowd->over)) {
		struct pool_tried tried = { 0 };
		int picked = pool_pick(crowd->pool, &tried, 0);
		struct up_addr before, after;

		if (picked < 0)
			continue;
		before = *pool_addr(crowd->pool, picked);
		(void)pool_up(crowd->pool, picked);
		after = *pool_addr(crowd->pool, picked);
		if (!addr_equal(&before, &after) || before.port == 0)
			atomic_fetch_add(&crowd->wrong, 1);
		pool_release(crowd->pool, picked);
	}
	return NULL;
}

static void changed_under_everyones_hands(void **state)
{
	_cleanup_pool_ struct pool *pool = make_pool(CONF_BALANCE_LEASTCONN, NULL, 2);
	struct crowd crowd = { .pool = pool };
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pick_all_day, &crowd), 0);
	for (unsigned i = 0; i < CHANGES; i++) {
		(void)change(pool, POOL_ADD, 10 + i % 7, 1 + i % 3);
		(void)change(pool, i % 2 ? POOL_DRAIN : POOL_UNDRAIN, 1, 0);
		(void)change(pool, POOL_REMOVE, 10 + (i + 3) % 7, 0);
	}
	atomic_store(&crowd.over, true);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(crowd.wrong, 0);
	for (size_t i = 0; i < pool_size(pool); i++) {
		struct pool_stat stat;

		(void)pool_stat(pool, (int)i, &stat);
		assert_int_equal(stat.active, 0);
	}
	/* Seven that come and go, two that stay; a place waits for its last connection. */
	assert_true(pool_size(pool) <= 9 + 7 + THREADS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(added_and_removed),
		cmocka_unit_test(the_last_one),
		cmocka_unit_test(drained_and_ready),
		cmocka_unit_test(weighed),
		cmocka_unit_test(another_configuration),
		cmocka_unit_test(back_again),
		cmocka_unit_test(not_applied),
		cmocka_unit_test(no_place_left),
		cmocka_unit_test(changed_under_everyones_hands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
