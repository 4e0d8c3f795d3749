/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The servers of one backend: which one is next, which ones rest, which take no more.
 * Shared by all workers without a lock: counters are relaxed atomics. No I/O, no logging.
 *
 * A server has a place (a number below POOL_PLACES_MAX) until its last connection is over,
 * also when it has been removed. Places are changed by one thread alone, the owner's.
 */
#ifndef BACKEND_POOL_H
#define BACKEND_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

struct pool;

/* What one connection has tried already: a server is tried at most once per
 * connection. Zero-initialise. */
struct pool_tried {
	uint64_t bits[8];
};

/* Servers that take connections; and places, so that all may be replaced at once while the
 * former still have theirs. */
#define POOL_SERVERS_MAX 256
#define POOL_PLACES_MAX 512

enum pool_state {
	POOL_NONE,     /* nobody's place */
	POOL_READY,    /* takes connections, unless it rests */
	POOL_DRAINING, /* takes no new ones */
	POOL_REMOVED,  /* ... and is forgotten with the last one */
};

int pool_new(const struct conf_backend *conf, struct pool **ret);
void pool_free(struct pool *pool);

/* Choose a server (weights, round robin or least connections), not among *tried and
 * not resting; if all that are left rest, -EAGAIN is returned only when none may be
 * tried: a resting server whose pause is over is tried by one connection at a time.
 * Counts the server's active connection up: give it back with pool_release().
 * now_ms: any monotonic clock, the same for all calls. Returns its place or -EAGAIN. */
int pool_pick(struct pool *pool, struct pool_tried *tried, uint64_t now_ms);

/* Count one more connection to the server of that address, which was chosen elsewhere, and with
 * `tried` (or NULL) remember it as tried. Returns its place or -ENOENT. */
int pool_join(struct pool *pool, const struct up_addr *addr, struct pool_tried *tried);

/* For as long as it is picked. */
const struct up_addr *pool_addr(const struct pool *pool, int server);

/* connect() worked: the server is well again. Returns true if it was resting before
 * (worth a log line). */
bool pool_up(struct pool *pool, int server);

/* connect() failed: the server rests (retry_ms, doubling up to retry_max_ms, +-10 %).
 * Returns true if it was well before (worth a log line). */
bool pool_down(struct pool *pool, int server, uint64_t now_ms);

/* A connection found no server. Returns how many did since it was last worth a log line: now
 * it is again. 0: not yet (a line each 10 s, however many come). */
uint32_t pool_none(struct pool *pool, uint64_t now_ms);

void pool_release(struct pool *pool, int server);

/* May this server, which rests, be tried again now, without a connection that needs it? True:
 * nobody else tries it meanwhile; say how it went with pool_up() or pool_down(). */
bool pool_probe(struct pool *pool, int server, uint64_t now_ms);

struct pool_stat {
	struct up_addr addr;
	enum pool_state state;
	uint32_t weight, active;
	uint64_t total, failed;
	bool resting;
};

/* What there is to say of a place; by the owner's thread. False: nobody's, *ret is zero. */
bool pool_stat(const struct pool *pool, int server, struct pool_stat *ret);
/* Places to look at; some may be nobody's. */
size_t pool_size(const struct pool *pool);

#endif
