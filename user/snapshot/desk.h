/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots for another thread: taken by the main thread's loop, which owns what is looked at. */
#ifndef SNAPSHOT_DESK_H
#define SNAPSHOT_DESK_H

#include "loop/loop.h"
#include "obs/stats.h"

struct desk;

/* take is called by the loop's thread. 0, or -errno with *ret untouched. */
int desk_open(struct loop *loop, int (*take)(void *context, struct stats **ret), void *context,
	      struct desk **ret);

/* Ask, and wait for two seconds at most: by one other thread. 0 and *ret is the caller's, or
 * -errno: -ETIMEDOUT, -ESHUTDOWN after desk_shut(). */
int desk_ask(struct desk *desk, struct stats **ret);

/* Nobody waits from now on. NULL is allowed. */
void desk_shut(struct desk *desk);

/* The asking thread is gone. NULL is allowed. */
void desk_close(struct desk *desk);

#endif
