/* SPDX-License-Identifier: BSD-2-Clause */
/* What backend/ alone knows of a pool. */
#ifndef BACKEND_POOL_INTERNAL_H
#define BACKEND_POOL_INTERNAL_H

#include <stdatomic.h>

#include "backend/pool.h"

#define CACHE_LINE 64

/* Which server is whose turn. Never changed once a pool has it. */
struct plan {
	struct plan *next; /* of the retired */
	size_t n_servers, n_turns;
	uint16_t servers[POOL_SERVERS_MAX]; /* the places of those that take connections */
	uint8_t turns[]; /* one round of indexes into servers[]: each as often as it weighs, spread */
};

/* weights: of each place. Returns 0 and gives *ret to the caller (free()), or -ENOMEM. */
int plan_new(const uint16_t *servers, size_t n_servers, const uint32_t *weights, struct plan **ret);

/* A picker counts itself up, looks at the state, and only then believes in the server; a
 * place is given to another address only when nobody is counted and the state has said
 * REMOVED for all to see. */
struct server {
	_Alignas(CACHE_LINE) _Atomic uint64_t health; /* until_ms << 2 | enum health_state */
	_Atomic uint64_t insist_ms, say_ms;           /* struct pace: taken up to then */
	_Atomic uint64_t total, failed;
	_Atomic uint32_t active;
	_Atomic uint32_t said_down; /* in the log: the last word was that it is down */
	_Atomic uint32_t pause_ms;  /* of the rest it is in, or was in last */
	_Atomic uint32_t weight;
	_Atomic uint32_t state; /* enum pool_state */
	struct up_addr addr;    /* of a new server, before its state says so */
};

struct pool {
	_Atomic uint32_t balance; /* enum conf_balance */
	_Atomic uint32_t retry_ms, retry_max_ms, probe_ms;
	struct plan *_Atomic plan;
	struct plan *retired; /* replaced, and maybe still read; the owner's */
	_Atomic uint32_t n_places;
	/* Written at every pick: a line of its own. */
	_Alignas(CACHE_LINE) _Atomic uint32_t turn;
	_Atomic uint32_t readers; /* that look at a plan */
	_Atomic uint64_t seed;
	_Atomic uint64_t none_ms;               /* "no server" has been said up to then */
	_Atomic uint32_t none_unsaid;           /* connections since it was said last */
	struct server servers[POOL_PLACES_MAX]; /* of those below n_places */
};

#define load(p) atomic_load_explicit(p, memory_order_relaxed)
#define store(p, v) atomic_store_explicit(p, v, memory_order_relaxed)
#define add(p, v) atomic_fetch_add_explicit(p, v, memory_order_relaxed)

#endif
