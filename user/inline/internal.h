/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by inline.c and tend.c alone. */
#ifndef INLINE_INTERNAL_H
#define INLINE_INTERNAL_H

#include "inline/attach.h"
#include "inline/events.h"
#include "inline/figures.h"
#include "inline/inline.h"
#include "kern/hook.h"
#include "kern/inline.h"

struct inline_engine {
	const struct conf *conf;
	struct loop *loop;
	int deny_fd;
	struct kern_inline *kern; /* NULL: it rests, until a listener comes */
	struct kern_hook *hook;   /* NULL: apps are not told of their clients */
	struct stats_part hook_part;
	policy_drained_fn *drained; /* NULL: no listener is */
	void *context;              /* ... for that */
	struct policy policy;
	struct attach attach;
	struct events events;
	struct figures figures;
	struct loop_source source; /* the ring */
	struct loop_timer again;   /* look into it once more */
	struct loop_timer tick;
	unsigned ticks;
	uint64_t sweep_pause, heal_pause; /* ticks until the next */
	uint64_t events_lost;             /* said so already */
	size_t adopted;                   /* connections taken over */
	bool unused;                      /* at the last tick: no listener, no flow */
	bool stale_ports;                 /* roles of listeners that are gone */
	bool settling;                    /* the table waits for an empty ring, to be compared */
};

/* With no listener and no flow: nothing stays in the kernel, until a listener comes. */
void inline_rest(struct inline_engine *engine);

/* ---- tend.c: what is done while it runs ---- */

/* Watch the ring, and begin with the chores. Says itself what fails. 0 or -errno. */
int tend_begin(struct inline_engine *engine);

/* No more of it; what is in the ring is read: all, or what there is no need to wait for. */
void tend_end(struct inline_engine *engine, bool all);

/* Called by the ring, for open_kern(). */
void tend_event(void *context, const struct up_flow_event *event, const uint8_t *header);

/* Take off the roles of listeners that are gone, but for those whose connections live on. */
void tend_prune_ports(struct inline_engine *engine);

#endif
