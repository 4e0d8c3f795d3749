/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The servers of one backend. It decides, it does not connect: the caller says how a try ended.
 *
 * A server is well, resting until a time, or being probed until a time; state and time are
 * one word, so that every move is one compare-and-swap and no worker ever waits. A probe has
 * a time too: a connection that went away without a word must not keep its server resting.
 */
#include "backend/pool.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define CACHE_LINE 64

enum server_state { SERVER_WELL, SERVER_RESTING, SERVER_PROBING };

struct server {
	_Alignas(CACHE_LINE) _Atomic uint64_t health; /* until_ms << 2 | enum server_state */
	_Atomic uint64_t total, failed;
	_Atomic uint32_t active;
	_Atomic uint32_t pause_ms; /* of the rest it is in, or was in last */
	uint32_t weight;
	struct up_addr addr;
};

struct pool {
	enum conf_balance balance;
	uint32_t retry_ms, retry_max_ms, probe_ms;
	size_t n_servers, n_turns;
	uint8_t *turns; /* one round: each server as often as it weighs, spread evenly */
	struct server *servers;
	_Alignas(CACHE_LINE) _Atomic uint32_t turn; /* written at every pick: a line of its own */
	_Atomic uint64_t seed;
};

#define load(p) atomic_load_explicit(p, memory_order_relaxed)
#define store(p, v) atomic_store_explicit(p, v, memory_order_relaxed)
#define add(p, v) atomic_fetch_add_explicit(p, v, memory_order_relaxed)

static enum server_state state_of(uint64_t health)
{
	return (enum server_state)(health & 3);
}

static uint64_t until_of(uint64_t health)
{
	return health >> 2;
}

static uint64_t health_of(enum server_state state, uint64_t until_ms)
{
	return until_ms << 2 | (uint64_t)state;
}

static bool swap_health(struct server *server, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(&server->health, &from, to,
						       memory_order_relaxed, memory_order_relaxed);
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Smooth weighted round robin, played once in advance: at each turn every server gains its
 * weight, the richest is chosen and pays the sum. 5:1:1 gives A A B A C A A. */
static int plan_turns(struct pool *pool)
{
	_cleanup_free_ int64_t *credit = calloc(pool->n_servers, sizeof(*credit));
	uint32_t common = 0, sum = 0;

	if (!credit)
		return -ENOMEM;
	for (size_t i = 0; i < pool->n_servers; i++)
		common = gcd(pool->servers[i].weight, common);
	for (size_t i = 0; i < pool->n_servers; i++)
		sum += pool->servers[i].weight / common;

	pool->n_turns = sum;
	pool->turns = malloc(sum);
	if (!pool->turns)
		return -ENOMEM;
	for (size_t turn = 0; turn < sum; turn++) {
		size_t best = 0;

		for (size_t i = 0; i < pool->n_servers; i++) {
			credit[i] += pool->servers[i].weight / common;
			if (credit[i] > credit[best])
				best = i;
		}
		credit[best] -= sum;
		pool->turns[turn] = (uint8_t)best;
	}
	return 0;
}

static void free_pool(struct pool **pool)
{
	pool_free(*pool);
}

int pool_new(const struct conf_backend *conf, struct pool **ret)
{
	_cleanup_(free_pool) struct pool *pool = NULL;
	int r;

	if (conf->n_servers == 0 || conf->n_servers > POOL_SERVERS_MAX)
		return -EINVAL;
	pool = aligned_alloc(CACHE_LINE, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	*pool = (struct pool){
		.balance = conf->balance,
		.retry_ms = conf->retry_ms,
		.retry_max_ms = conf->retry_max_ms,
		.probe_ms = conf->connect_timeout_ms,
		.n_servers = conf->n_servers,
	};
	pool->servers = aligned_alloc(CACHE_LINE, conf->n_servers * sizeof(*pool->servers));
	if (!pool->servers)
		return -ENOMEM;
	memset(pool->servers, 0, conf->n_servers * sizeof(*pool->servers));
	for (size_t i = 0; i < conf->n_servers; i++) {
		pool->servers[i].addr = conf->servers[i].addr;
		pool->servers[i].weight = conf->servers[i].weight ? conf->servers[i].weight : 1;
	}
	r = plan_turns(pool);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(pool);
	return 0;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	free(pool->turns);
	free(pool->servers);
	free(pool);
}

static bool is_tried(const struct pool_tried *tried, size_t server)
{
	return tried->bits[server / 64] >> server % 64 & 1;
}

/* May a connection be sent there now? (A rest that is over still has to be claimed.) */
static bool may_try(const struct pool *pool, const struct pool_tried *tried, size_t server,
		    uint64_t now_ms)
{
	uint64_t health = load(&pool->servers[server].health);

	if (is_tried(tried, server))
		return false;
	return state_of(health) == SERVER_WELL || now_ms >= until_of(health);
}

/* A well server is anyone's; one whose rest is over goes to a single connection. */
static bool claim(struct pool *pool, size_t server, uint64_t now_ms)
{
	struct server *at = &pool->servers[server];
	uint64_t health = load(&at->health);
	uint64_t until;

	if (state_of(health) == SERVER_WELL)
		return true;
	if (now_ms < until_of(health))
		return false;
	until = now_ms + (pool->probe_ms > pool->retry_ms ? pool->probe_ms : pool->retry_ms);
	return swap_health(at, health, health_of(SERVER_PROBING, until));
}

/* The next one in turn that may be tried, from the given turn on; -1 if there is none. */
static int next_in_turn(const struct pool *pool, const struct pool_tried *tried, uint32_t turn,
			uint64_t now_ms)
{
	for (size_t i = 0; i < pool->n_turns; i++) {
		size_t server = pool->turns[(turn + i) % pool->n_turns];

		if (may_try(pool, tried, server, now_ms))
			return (int)server;
	}
	return -1;
}

/* The one with the fewest connections for its weight. Among equals the one whose turn it
 * is, so that weights count on an idle backend, too. */
static int least_busy(const struct pool *pool, const struct pool_tried *tried, uint32_t turn,
		      uint64_t now_ms)
{
	size_t first = pool->turns[turn % pool->n_turns];
	uint64_t best_active = 0;
	int best = -1;

	for (size_t i = 0; i < pool->n_servers; i++) {
		size_t server = (first + i) % pool->n_servers;
		uint64_t active = load(&pool->servers[server].active);

		if (!may_try(pool, tried, server, now_ms))
			continue;
		if (best >= 0 && active * pool->servers[best].weight >=
					 best_active * pool->servers[server].weight)
			continue;
		best = (int)server;
		best_active = active;
	}
	return best;
}

int pool_pick(struct pool *pool, struct pool_tried *tried, uint64_t now_ms)
{
	uint32_t turn = add(&pool->turn, 1);

	/* Another worker may claim the same probe first: one server fewer to look at then. */
	for (size_t i = 0; i <= pool->n_servers; i++) {
		int server = pool->balance == CONF_BALANCE_LEASTCONN
				     ? least_busy(pool, tried, turn, now_ms)
				     : next_in_turn(pool, tried, turn, now_ms);

		if (server < 0)
			return -EAGAIN;
		if (!claim(pool, (size_t)server, now_ms))
			continue;
		tried->bits[server / 64] |= UINT64_C(1) << server % 64;
		add(&pool->servers[server].active, 1);
		add(&pool->servers[server].total, 1);
		return server;
	}
	return -EAGAIN;
}

const struct up_addr *pool_addr(const struct pool *pool, int server)
{
	return &pool->servers[server].addr;
}

bool pool_up(struct pool *pool, int server)
{
	struct server *at = &pool->servers[server];
	uint64_t health = load(&at->health);

	/* The usual case writes nothing: the line stays shared among the workers. */
	if (state_of(health) == SERVER_WELL)
		return false;
	return swap_health(at, health, health_of(SERVER_WELL, 0));
}

/* +-10 %, so that the workers of many hosts do not come back at the same moment. */
static uint64_t jitter(struct pool *pool, uint32_t pause_ms, uint64_t now_ms)
{
	uint64_t x = now_ms ^ add(&pool->seed, UINT64_C(0x9e3779b97f4a7c15));

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return pause_ms - pause_ms / 10 + (x >> 32) % (pause_ms / 5 + 1);
}

bool pool_down(struct pool *pool, int server, uint64_t now_ms)
{
	struct server *at = &pool->servers[server];
	uint64_t health = load(&at->health);
	enum server_state was = state_of(health);
	uint32_t pause_ms = pool->retry_ms;
	uint64_t to;

	add(&at->failed, 1);
	/* Many connections fail together: the first one sends the server to rest, the others
	 * must not make its pause longer. */
	if (was == SERVER_RESTING && now_ms < until_of(health))
		return false;
	if (was != SERVER_WELL) {
		uint64_t doubled = 2 * (uint64_t)load(&at->pause_ms);

		pause_ms = doubled < pool->retry_max_ms ? (uint32_t)doubled : pool->retry_max_ms;
	}
	to = health_of(SERVER_RESTING, now_ms + jitter(pool, pause_ms, now_ms));
	if (!swap_health(at, health, to))
		return false;
	store(&at->pause_ms, pause_ms);
	return was == SERVER_WELL;
}

void pool_release(struct pool *pool, int server)
{
	atomic_fetch_sub_explicit(&pool->servers[server].active, 1, memory_order_relaxed);
}

void pool_stat(const struct pool *pool, int server, struct pool_stat *ret)
{
	const struct server *at = &pool->servers[server];

	*ret = (struct pool_stat){
		.addr = at->addr,
		.weight = at->weight,
		.active = load(&at->active),
		.total = load(&at->total),
		.failed = load(&at->failed),
		.resting = state_of(load(&at->health)) != SERVER_WELL,
	};
}

size_t pool_size(const struct pool *pool)
{
	return pool->n_servers;
}
