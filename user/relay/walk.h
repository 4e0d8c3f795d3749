/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A look at all live connections of the relay, or the end of some. The main thread asks a worker
 * for one batch after the other; a batch takes a worker less than a millisecond. What comes or
 * goes between two batches may be missed, or seen: never half, never twice in one list.
 */
#ifndef RELAY_WALK_H
#define RELAY_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "client/conn.h"
#include "loop/mailbox.h"
#include "relay/relay.h"

#define WALK_CONNS 64
#define WALK_TLVS 65536 /* what one header may bring fits */

struct relay_walk {
	/* By whoever asks, before the first batch. */
	struct relay *relay;
	struct conn_filter filter;
	bool kill;                           /* end those that match */
	void (*fn)(struct relay_walk *walk); /* a batch is here: n conns, in the main thread */
	void *context;

	/* A batch. */
	size_t n; /* killed: they are counted alone */
	struct conn conns[WALK_CONNS];
	uint8_t tlvs[WALK_TLVS];
	size_t tlv_used;

	/* Its own. */
	struct letter letter;
	struct list link; /* worker->walks, while there is more to see of it */
	struct list *at;  /* what to look at next */
	unsigned worker;
	bool linked, accelerated, asked, over;
};

/* Ask for the next batch. False: there is none, all was seen. */
bool relay_walk_next(struct relay_walk *walk);

/* Give it up, after a batch or before: it is freed as soon as no worker knows it. It was made
 * by malloc(). */
void relay_walk_free(struct relay_walk *walk);

struct session;

/* By a worker: the session leaves the list it is in. */
void walk_step_off(struct worker *worker, struct session *session);

#endif
