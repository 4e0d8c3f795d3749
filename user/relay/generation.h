/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A configuration as the relay serves it. A reload makes a new generation; connections go on
 * under the rules of the one they began with, which lives until the last of them is over.
 *
 * Made, published and freed by the main thread. Each worker counts its own uses of a
 * generation (sessions, listening sockets, and one while it is the worker's newest) without
 * an atomic; only its last use gives up the worker's reference.
 */
#ifndef RELAY_GENERATION_H
#define RELAY_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/pool.h"
#include "base/list.h"
#include "conf/conf.h"

struct client_log;
struct pool_entry;

/* What outlives generations, by the listener's name. */
struct listener_state {
	struct list all;
	char name[CONF_NAME_MAX];
	uint32_t connections; /* atomic: now, of all workers and generations */
	/* Atomic, all workers together: since the beginning, and of the sockets there are. */
	uint64_t accepted, refused;
	uint32_t backlog, backlog_max; /* connections that wait for accept(), or may */
	uint32_t n_open;               /* sockets that listen */
	bool draining;       /* takes no connections: said at run time; the main thread's */
	unsigned references; /* generations that have it; the main thread's */
};

/* A listener of a generation: what a connection goes by from accept to its end. */
struct rules {
	const struct conf_listener *conf;
	struct generation *generation;
	struct pool *pool; /* NULL: engine = inline */
	struct listener_state *state;
};

struct generation_use {
	_Alignas(64) uint32_t count; /* this worker's alone */
};

struct generation {
	struct list all;     /* generations.all, oldest first */
	uint32_t number;     /* 1: of the start */
	uint32_t references; /* atomic: the main thread while it is the newest, and workers */
	struct conf *conf;
	struct rules *rules;         /* one per conf->listeners */
	struct pool_entry **pools;   /* one per conf->backends */
	struct generation_use *uses; /* one per worker */
	uint64_t *log_marks;         /* what the client log had queued when it was retired */
	bool retired;                /* nobody uses it any more */
};

/* The main thread's books. Zero-initialised but for the lists: generations_init(). */
struct generations {
	struct list all;
	struct list states;
	struct list pools; /* struct pool_entry */
	unsigned n_workers;
	uint32_t number;
	struct generation *newest;
};

void generations_init(struct generations *books, unsigned n_workers);

/* Forget all, whatever refers to them: the workers are gone. */
void generations_free(struct generations *books);

/* Make one of *conf, which becomes its own on success; pools and states of the same names are
 * shared with the living. Nobody sees it before generation_publish(); its pools are not told
 * of its servers before. 0, or -errno with *ret untouched. */
int generation_new(struct generations *books, struct conf *conf, struct generation **ret);

/* It is the newest from now on, and so many workers are told: all that run. */
void generation_publish(struct generations *books, struct generation *generation, unsigned told);

/* One that was never published. NULL is allowed. */
void generation_discard(struct generation *generation);

/* The pool of its conf->backends[backend]. */
struct pool *generation_pool(const struct generation *generation, size_t backend);

/* Free those that nobody uses any more, when the client log (or NULL) has written what names
 * them. */
void generations_sweep(struct generations *books, const struct client_log *log);

/* The rules for a connection to addr (an address listened on), or NULL. */
struct rules *generation_rules(const struct generation *generation, const struct up_addr *addr);

/* Of a worker: it uses the generation once more, or once less. */
static inline void generation_enter(struct generation *generation, unsigned worker)
{
	generation->uses[worker].count++;
}

static inline void generation_leave(struct generation *generation, unsigned worker)
{
	if (--generation->uses[worker].count == 0)
		__atomic_fetch_sub(&generation->references, 1, __ATOMIC_RELEASE);
}

#endif
