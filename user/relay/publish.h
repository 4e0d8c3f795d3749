/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A generation becomes what the workers serve: its sockets are bound first, all or none, and
 * only then anybody is told. Sockets that are open already are kept. The main thread's.
 */
#ifndef RELAY_PUBLISH_H
#define RELAY_PUBLISH_H

#include "relay/relay.h"

struct publish {
	struct relay *relay;
	struct generation *generation;
	bool all;                          /* open them all; else those that are not drained */
	const struct listener_state *flip; /* ... but this one if it is, and not if it is not */
	struct worker_update **updates;    /* one per worker; NULL: no relay */
	const struct conf_bind *failed;    /* the bind that could not be had */
	struct up_addr failed_addr;        /* ... and its address */
};

/* Bind what the newest generation has not open, and give each its place in line. On failure
 * nothing has changed, and *publish is empty but for what failed. 0 or -errno. */
int publish_prepare(struct publish *publish);

/* "FILE:LINE: bind: ADDRESS: reason", of the configuration or its flags. */
void publish_explain(const struct publish *publish, int err, char *buf, size_t size);

/* Tell the workers, and wait until they have taken it. It cannot fail. */
void publish_commit(struct publish *publish);

/* Instead: forget it. */
void publish_cancel(struct publish *publish);

#endif
