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
#include <stdlib.h>
#include <string.h>

#include "backend/change.h"
#include "backend/pool_internal.h"
#include "base/addr.h"
#include "base/cleanup.h"

/* A backend without a server refuses everybody: so often it is said, not for each. */
#define NONE_MS 10000

enum health_state { SERVER_WELL, SERVER_RESTING, SERVER_PROBING };

static enum health_state state_of(uint64_t health)
{
	return (enum health_state)(health & 3);
}

static uint64_t until_of(uint64_t health)
{
	return health >> 2;
}

static uint64_t health_of(enum health_state state, uint64_t until_ms)
{
	return until_ms << 2 | (uint64_t)state;
}

static bool swap(_Atomic uint64_t *word, uint64_t from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_relaxed,
						       memory_order_relaxed);
}

/* So many at once, and one in each so many milliseconds after that. Each takes its time off
 * what is to come: the word is the time up to which that has been taken. */
struct pace {
	uint32_t each_ms, at_once;
};

static const struct pace insisting = { POOL_INSIST_MS, POOL_INSIST_MAX };

static bool has_turn(uint64_t taken_ms, uint64_t now_ms, struct pace pace)
{
	return taken_ms <= now_ms + (uint64_t)pace.each_ms * (pace.at_once - 1);
}

static bool take_turn(_Atomic uint64_t *taken_ms, uint64_t now_ms, struct pace pace)
{
	uint64_t before = load(taken_ms), after;

	do {
		if (!has_turn(before, now_ms, pace))
			return false;
		after = (before > now_ms ? before : now_ms) + pace.each_ms;
	} while (!atomic_compare_exchange_weak_explicit(taken_ms, &before, after,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static void free_pool(struct pool **pool)
{
	pool_free(*pool);
}

int pool_new(const struct conf_backend *conf, struct pool **ret)
{
	_cleanup_(free_pool) struct pool *pool = NULL;
	struct pool_change *change;
	int r;

	if (conf->n_servers == 0 || conf->n_servers > POOL_SERVERS_MAX)
		return -EINVAL;
	pool = aligned_alloc(CACHE_LINE, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	memset(pool, 0, sizeof(*pool));
	r = pool_change_to(pool, conf, &change);
	if (r < 0)
		return r;
	pool_change_apply(change);
	*ret = TAKE_PTR(pool);
	return 0;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	while (pool->retired) {
		struct plan *plan = pool->retired;

		pool->retired = plan->next;
		free(plan);
	}
	free(load(&pool->plan));
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

	if (is_tried(tried, server) || load(&pool->servers[server].state) != POOL_READY)
		return false;
	return state_of(health) == SERVER_WELL || now_ms >= until_of(health);
}

/* A well server is anyone's; one whose rest is over goes to a single connection. */
static bool claim(struct pool *pool, size_t server, uint64_t now_ms)
{
	struct server *at = &pool->servers[server];
	uint32_t probe_ms = load(&pool->probe_ms), retry_ms = load(&pool->retry_ms);
	uint64_t health = load(&at->health);
	uint64_t until;

	if (state_of(health) == SERVER_WELL)
		return true;
	if (now_ms < until_of(health))
		return false;
	until = now_ms + (probe_ms > retry_ms ? probe_ms : retry_ms);
	return swap(&at->health, health, health_of(SERVER_PROBING, until));
}

bool pool_probe(struct pool *pool, int server, uint64_t now_ms)
{
	const struct server *at = &pool->servers[server];

	return load(&at->state) == POOL_READY && state_of(load(&at->health)) != SERVER_WELL &&
	       claim(pool, (size_t)server, now_ms);
}

/* The next one in turn that may be tried, from the given turn on; -1 if there is none. */
static int next_in_turn(const struct pool *pool, const struct plan *plan,
			const struct pool_tried *tried, uint32_t turn, uint64_t now_ms)
{
	for (size_t i = 0; i < plan->n_turns; i++) {
		size_t server = plan->servers[plan->turns[(turn + i) % plan->n_turns]];

		if (may_try(pool, tried, server, now_ms))
			return (int)server;
	}
	return -1;
}

/* The one with the fewest connections for its weight. Among equals the one whose turn it
 * is, so that weights count on an idle backend, too. */
static int least_busy(const struct pool *pool, const struct plan *plan,
		      const struct pool_tried *tried, uint32_t turn, uint64_t now_ms)
{
	size_t first = plan->n_turns ? plan->turns[turn % plan->n_turns] : 0;
	uint64_t best_active = 0, best_weight = 0;
	int best = -1;

	for (size_t i = 0; i < plan->n_servers; i++) {
		size_t server = plan->servers[(first + i) % plan->n_servers];
		uint64_t active = load(&pool->servers[server].active);
		uint64_t weight = load(&pool->servers[server].weight);

		if (!may_try(pool, tried, server, now_ms))
			continue;
		if (best >= 0 && active * best_weight >= best_active * weight)
			continue;
		best = (int)server;
		best_active = active;
		best_weight = weight;
	}
	return best;
}

/* Of those that rest or are being probed, the one whose time is over first. */
static int first_back(const struct pool *pool, const struct plan *plan,
		      const struct pool_tried *tried, uint64_t now_ms)
{
	uint64_t best_until = UINT64_MAX;
	int best = -1;

	for (size_t i = 0; i < plan->n_servers; i++) {
		size_t server = plan->servers[i];
		const struct server *at = &pool->servers[server];
		uint64_t until = until_of(load(&at->health));

		if (until >= best_until || is_tried(tried, server) ||
		    load(&at->state) != POOL_READY ||
		    !has_turn(load(&at->insist_ms), now_ms, insisting))
			continue;
		best = (int)server;
		best_until = until;
	}
	return best;
}

/* Be counted there, and only then look whether it still takes connections: whoever removes
 * it says so first, and then looks who is counted. */
static bool enter(struct server *server)
{
	atomic_fetch_add(&server->active, 1);
	if (atomic_load(&server->state) == POOL_READY)
		return true;
	atomic_fetch_sub(&server->active, 1);
	return false;
}

static int pick_from(struct pool *pool, const struct plan *plan, struct pool_tried *tried,
		     uint64_t now_ms)
{
	uint32_t turn = add(&pool->turn, 1);

	/* Another worker may claim the same probe first: one server fewer to look at then. */
	for (size_t i = 0; i <= plan->n_servers; i++) {
		int server = load(&pool->balance) == CONF_BALANCE_LEASTCONN
				     ? least_busy(pool, plan, tried, turn, now_ms)
				     : next_in_turn(pool, plan, tried, turn, now_ms);

		if (server < 0)
			return -EAGAIN;
		if (claim(pool, (size_t)server, now_ms) && enter(&pool->servers[server]))
			return server;
	}
	return -EAGAIN;
}

/* All that are left rest: the last resort. Others may use up its tries meanwhile. */
static int pick_resting(struct pool *pool, const struct plan *plan, const struct pool_tried *tried,
			uint64_t now_ms)
{
	for (size_t i = 0; i <= plan->n_servers; i++) {
		int server = first_back(pool, plan, tried, now_ms);

		if (server < 0)
			return -EAGAIN;
		if (take_turn(&pool->servers[server].insist_ms, now_ms, insisting) &&
		    enter(&pool->servers[server]))
			return server;
	}
	return -EAGAIN;
}

int pool_pick(struct pool *pool, struct pool_tried *tried, uint64_t now_ms)
{
	const struct plan *plan;
	int server;

	atomic_fetch_add(&pool->readers, 1);
	plan = atomic_load(&pool->plan);
	server = pick_from(pool, plan, tried, now_ms);
	if (server < 0)
		server = pick_resting(pool, plan, tried, now_ms);
	atomic_fetch_sub_explicit(&pool->readers, 1, memory_order_release);
	if (server < 0)
		return server;
	tried->bits[server / 64] |= UINT64_C(1) << server % 64;
	add(&pool->servers[server].total, 1);
	return server;
}

/* Counted there, it keeps its place. */
static bool join(struct server *server, const struct up_addr *addr)
{
	uint32_t state = atomic_load(&server->state);

	if ((state != POOL_READY && state != POOL_DRAINING) || !addr_equal(&server->addr, addr))
		return false;
	atomic_fetch_add(&server->active, 1);
	state = atomic_load(&server->state);
	if ((state == POOL_READY || state == POOL_DRAINING) && addr_equal(&server->addr, addr))
		return true;
	atomic_fetch_sub(&server->active, 1);
	return false;
}

int pool_join(struct pool *pool, const struct up_addr *addr, struct pool_tried *tried)
{
	uint32_t n = atomic_load(&pool->n_places);

	for (uint32_t i = 0; i < n; i++) {
		if (!join(&pool->servers[i], addr))
			continue;
		if (tried)
			tried->bits[i / 64] |= UINT64_C(1) << i % 64;
		return (int)i;
	}
	return -ENOENT;
}

const struct up_addr *pool_addr(const struct pool *pool, int server)
{
	return &pool->servers[server].addr;
}

/* Is this the moment to say that it is down? One that comes and goes is not said each time. */
static bool tell_down(struct server *server, uint32_t retry_ms, uint64_t now_ms)
{
	const struct pace telling = { retry_ms, POOL_SAY_MAX };

	return !load(&server->said_down) && take_turn(&server->say_ms, now_ms, telling) &&
	       !atomic_exchange_explicit(&server->said_down, 1, memory_order_relaxed);
}

static bool tell_up(struct server *server)
{
	return load(&server->said_down) &&
	       atomic_exchange_explicit(&server->said_down, 0, memory_order_relaxed);
}

bool pool_up(struct pool *pool, int server)
{
	struct server *at = &pool->servers[server];
	uint64_t health = load(&at->health);

	/* The usual case writes nothing: the line stays shared among the workers. */
	if (state_of(health) != SERVER_WELL &&
	    !swap(&at->health, health, health_of(SERVER_WELL, 0)))
		return false;
	return tell_up(at);
}

/* +-10 %, so that the workers of many hosts do not come back at the same moment. */
static uint64_t jitter(struct pool *pool, uint32_t pause_ms, uint64_t now_ms)
{
	uint64_t x = now_ms ^ add(&pool->seed, UINT64_C(0x9e3779b97f4a7c15));

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return pause_ms - pause_ms / 10 + (x >> 32) % (pause_ms / 5 + 1);
}

static void rest(struct pool *pool, struct server *server, uint64_t now_ms)
{
	uint64_t health = load(&server->health);
	enum health_state was = state_of(health);
	uint32_t pause_ms = load(&pool->retry_ms), max_ms = load(&pool->retry_max_ms);

	/* Many connections fail together: the first one sends the server to rest, the others
	 * must not make its pause longer. */
	if (was == SERVER_RESTING && now_ms < until_of(health))
		return;
	if (was != SERVER_WELL) {
		uint64_t doubled = 2 * (uint64_t)load(&server->pause_ms);

		pause_ms = doubled < max_ms ? (uint32_t)doubled : max_ms;
	}
	if (swap(&server->health, health,
		 health_of(SERVER_RESTING, now_ms + jitter(pool, pause_ms, now_ms))))
		store(&server->pause_ms, pause_ms);
}

bool pool_down(struct pool *pool, int server, uint64_t now_ms)
{
	struct server *at = &pool->servers[server];

	add(&at->failed, 1);
	rest(pool, at, now_ms);
	return tell_down(at, load(&pool->retry_ms), now_ms);
}

uint32_t pool_none(struct pool *pool, uint64_t now_ms)
{
	static const struct pace telling = { NONE_MS, 1 };

	add(&pool->none_unsaid, 1);
	if (!take_turn(&pool->none_ms, now_ms, telling))
		return 0;
	return atomic_exchange_explicit(&pool->none_unsaid, 0, memory_order_relaxed);
}

void pool_release(struct pool *pool, int server)
{
	/* What was read of the server is read before another may take its place. */
	atomic_fetch_sub_explicit(&pool->servers[server].active, 1, memory_order_release);
}

bool pool_stat(const struct pool *pool, int server, struct pool_stat *ret)
{
	const struct server *at = &pool->servers[server];
	enum pool_state state = (enum pool_state)load(&at->state);
	uint32_t active = load(&at->active);

	*ret = (struct pool_stat){ 0 };
	if (state == POOL_NONE || (state == POOL_REMOVED && !active))
		return false;
	*ret = (struct pool_stat){
		.addr = at->addr,
		.state = state,
		.weight = load(&at->weight),
		.active = active,
		.total = load(&at->total),
		.failed = load(&at->failed),
		.resting = state_of(load(&at->health)) != SERVER_WELL,
	};
	return true;
}

size_t pool_size(const struct pool *pool)
{
	return load(&pool->n_places);
}
