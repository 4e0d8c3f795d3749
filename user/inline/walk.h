/* SPDX-License-Identifier: BSD-2-Clause */
/* A look at the live connections of the inline engine, or the end of some. In the main thread. */
#ifndef INLINE_WALK_H
#define INLINE_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "client/conn.h"
#include "inline/inline.h"
#include "kern/inline.h"

/* A walk over all connections in steps of less than a millisecond or so. Zeroed: at the
 * beginning. */
struct inline_walk {
	struct conn_filter filter;
	bool kill;                                          /* end those that match */
	void (*fn)(void *context, const struct conn *conn); /* else: what it is shown to */
	void *context;
	uint64_t killed;
	uint64_t out_of_reach; /* not killed: its socket is not in this network namespace */
	struct kern_flow_walk place;
	const struct kern_inline *kern; /* of the engine, for a step */
	const struct events *events;
	int error; /* of the first that could not be killed, -errno */
};

/* The next step. False: there is no more. */
bool inline_walk_next(const struct inline_engine *engine, struct inline_walk *walk);

#endif
