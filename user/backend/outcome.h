/* SPDX-License-Identifier: BSD-2-Clause */
/* How a try to connect to a server ended: the pool learns it, and the log, if it is news. */
#ifndef BACKEND_OUTCOME_H
#define BACKEND_OUTCOME_H

#include "backend/pool.h"

/* It took the connection. backend: the pool's name in the configuration. */
void outcome_up(struct pool *pool, int server, const char *backend);

/* It refused, or did not answer; err: errno. now_ms as for pool_pick(). */
void outcome_down(struct pool *pool, int server, const char *backend, uint64_t now_ms, int err);

#endif
