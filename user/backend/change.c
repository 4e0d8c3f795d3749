/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/change.h"

#include <errno.h>
#include <stdlib.h>

#include "backend/pool_internal.h"
#include "base/addr.h"
#include "base/cleanup.h"

struct pool_change {
	struct pool *pool;
	const struct conf_backend *conf; /* NULL: of one server only */
	uint32_t n_places;
	struct place {
		enum pool_state state;
		uint32_t weight;
		struct up_addr addr;
		bool fresh; /* for a server that the pool has not */
	} places[POOL_PLACES_MAX];
	struct plan *plan;
};

static void free_change(struct pool_change **change)
{
	pool_change_free(*change);
}

static void read_place(const struct server *server, struct place *ret)
{
	*ret = (struct place){ .state = load(&server->state) };
	/* Nobody can be on the way to it any more: see struct server. */
	if (ret->state == POOL_REMOVED && !atomic_load(&server->active))
		ret->state = POOL_NONE;
	if (ret->state == POOL_NONE)
		return;
	ret->weight = load(&server->weight);
	ret->addr = server->addr;
}

/* The pool as it is. */
static int begin(struct pool *pool, struct pool_change **ret)
{
	struct pool_change *change = calloc(1, sizeof(*change));

	if (!change)
		return -ENOMEM;
	change->pool = pool;
	change->n_places = load(&pool->n_places);
	for (uint32_t i = 0; i < change->n_places; i++)
		read_place(&pool->servers[i], &change->places[i]);
	*ret = change;
	return 0;
}

static struct place *find(struct pool_change *change, const struct up_addr *addr)
{
	for (uint32_t i = 0; i < change->n_places; i++) {
		struct place *place = &change->places[i];

		if (place->state != POOL_NONE && addr_equal(&place->addr, addr))
			return place;
	}
	return NULL;
}

static struct place *find_room(struct pool_change *change)
{
	for (uint32_t i = 0; i < change->n_places; i++) {
		if (change->places[i].state == POOL_NONE)
			return &change->places[i];
	}
	return change->n_places < POOL_PLACES_MAX ? &change->places[change->n_places++] : NULL;
}

/* One that was removed and still has connections comes back as what it was. */
static int put(struct pool_change *change, const struct conf_server *server)
{
	struct place *place = find(change, &server->addr);

	if (!place) {
		place = find_room(change);
		if (!place)
			return -ENOSPC;
		*place = (struct place){ .addr = server->addr, .fresh = true };
	}
	place->state = POOL_READY;
	place->weight = server->weight ? server->weight : 1;
	return 0;
}

static int finish(struct pool_change *change)
{
	uint32_t weights[POOL_PLACES_MAX] = { 0 };
	uint16_t ready[POOL_SERVERS_MAX];
	size_t n = 0;

	for (uint32_t i = 0; i < change->n_places; i++) {
		weights[i] = change->places[i].weight;
		if (change->places[i].state != POOL_READY)
			continue;
		if (n == POOL_SERVERS_MAX)
			return -ENOSPC;
		ready[n++] = (uint16_t)i;
	}
	return plan_new(ready, n, weights, &change->plan);
}

int pool_change_to(struct pool *pool, const struct conf_backend *conf, struct pool_change **ret)
{
	_cleanup_(free_change) struct pool_change *change = NULL;
	int r = begin(pool, &change);

	if (r < 0)
		return r;
	change->conf = conf;
	for (uint32_t i = 0; i < change->n_places; i++) {
		if (change->places[i].state != POOL_NONE)
			change->places[i].state = POOL_REMOVED;
	}
	for (size_t i = 0; r == 0 && i < conf->n_servers; i++)
		r = put(change, &conf->servers[i]);
	if (r == 0)
		r = finish(change);
	if (r == 0)
		*ret = TAKE_PTR(change);
	return r;
}

static int act(struct pool_change *change, enum pool_action action,
	       const struct conf_server *server)
{
	struct place *place = find(change, &server->addr);
	bool there = place && place->state != POOL_REMOVED;

	if (action == POOL_ADD)
		return there ? -EEXIST : put(change, server);
	if (!there)
		return -ENOENT;
	if (action == POOL_REMOVE)
		place->state = POOL_REMOVED;
	else if (action == POOL_DRAIN)
		place->state = POOL_DRAINING;
	else if (action == POOL_UNDRAIN)
		place->state = POOL_READY;
	else
		place->weight = server->weight;
	return 0;
}

int pool_change_one(struct pool *pool, enum pool_action action, const struct conf_server *server,
		    struct pool_change **ret)
{
	_cleanup_(free_change) struct pool_change *change = NULL;
	int r = begin(pool, &change);

	if (r == 0)
		r = act(change, action, server);
	if (r == 0)
		r = finish(change);
	if (r == 0)
		*ret = TAKE_PTR(change);
	return r;
}

static void write_place(struct server *server, const struct place *place)
{
	if (place->fresh) {
		store(&server->health, 0);
		store(&server->insist_ms, 0);
		store(&server->say_ms, 0);
		store(&server->said_down, 0);
		store(&server->total, 0);
		store(&server->failed, 0);
		store(&server->pause_ms, 0);
		server->addr = place->addr;
	}
	store(&server->weight, place->weight);
	atomic_store(&server->state, (uint32_t)place->state);
}

/* Whoever began to read before the plan was replaced counts among the readers. A pick takes
 * less than a microsecond: there is hardly ever one, and else the next change frees it. */
static void free_retired(struct pool *pool)
{
	if (atomic_load(&pool->readers))
		return;
	while (pool->retired) {
		struct plan *plan = pool->retired;

		pool->retired = plan->next;
		free(plan);
	}
}

static void replace_plan(struct pool *pool, struct plan *plan)
{
	struct plan *before = atomic_exchange(&pool->plan, plan);

	if (!before)
		return;
	before->next = pool->retired;
	pool->retired = before;
	free_retired(pool);
}

void pool_change_apply(struct pool_change *change)
{
	struct pool *pool = change->pool;
	const struct conf_backend *conf = change->conf;

	if (conf) {
		store(&pool->balance, (uint32_t)conf->balance);
		store(&pool->retry_ms, conf->retry_ms);
		store(&pool->retry_max_ms, conf->retry_max_ms);
		store(&pool->probe_ms, conf->connect_timeout_ms);
	}
	for (uint32_t i = 0; i < change->n_places; i++)
		write_place(&pool->servers[i], &change->places[i]);
	store(&pool->n_places, change->n_places);
	replace_plan(pool, TAKE_PTR(change->plan));
	pool_change_free(change);
}

void pool_change_free(struct pool_change *change)
{
	if (!change)
		return;
	free(change->plan);
	free(change);
}
