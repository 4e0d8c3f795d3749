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

/* While all servers of a backend rest, each may be tried so many times at once, and once in
 * so many milliseconds after that. */
#define POOL_INSIST_MAX 100
#define POOL_INSIST_MS 10

/* A server that comes and goes is said to be down so many times, and once in retry_ms after that. */
#define POOL_SAY_MAX 10

/* Choose a server (weights, round robin or least connections), not among *tried and
 * not resting; one whose rest is over is tried by one connection at a time. If all that are
 * left rest, the one whose rest is over first, while it has not been tried too often
 * (POOL_INSIST_MAX): it may be back, and whoever is not sent there is reset.
 * Counts the server's active connection up: give it back with pool_release().
 * now_ms: any monotonic clock, the same for all calls. Returns its place or -EAGAIN. */
int pool_pick(struct pool *pool, struct pool_tried *tried, uint64_t now_ms);

/* Count one more connection to the server of that address, which was chosen elsewhere, and with
 * `tried` (or NULL) remember it as tried. Returns its place or -ENOENT. */
int pool_join(struct pool *pool, const struct up_addr *addr, struct pool_tried *tried);

/* For as long as it is picked. */
const struct up_addr *pool_addr(const struct pool *pool, int server);

/* connect() worked: the server is well. Returns true if that is worth a log line: it was said
 * to be down. */
bool pool_up(struct pool *pool, int server);

/* connect() failed: the server rests (retry_ms, doubling up to retry_max_ms, +-10 %), unless it
 * does already. Returns true if that is worth a log line: it was well, as far as was said, and
 * it has not been said too often (POOL_SAY_MAX). */
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
