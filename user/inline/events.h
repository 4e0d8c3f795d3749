/* SPDX-License-Identifier: BSD-2-Clause */
/* The programs' events: counted, and told to the client log. */
#ifndef INLINE_EVENTS_H
#define INLINE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/conn.h"
#include "client/log.h"
#include "inline/open_flows.h"
#include "inline/policy.h"
#include "kern/inline.h"
#include "obs/stats.h"

/* Of one listener. */
struct inline_counters {
	uint64_t accepted; /* met: by the first event of each */
	uint64_t opened;
	uint64_t ended;
	uint64_t refused;
	uint64_t probes;
};

/* A listener that is gone: what the lines of its last connections still name. */
struct former_listener {
	struct former_listener *next;
	uint32_t id;
	struct conf_listener listener; /* its name and ports alone */
};

struct events {
	const struct conf *conf;
	const struct policy *policy;
	struct client_log *log; /* NULL: no client log */
	unsigned log_queue;
	struct open_flows *open;
	struct inline_counters *counters; /* one per policy->listeners, and one for all gone */
	int64_t realtime_offset_us;
	uint64_t taken;                 /* events in all */
	struct former_listener *former; /* the latest first */
	unsigned n_former;
	struct stats_counts counts;
};

/* conf, policy, log and log_queue are set. 0 or -ENOMEM. */
int events_init(struct events *events);
void events_free(struct events *events);

/* Room for the counters of another policy's listeners, filled with what those of the same
 * name have counted; the caller's. NULL: no memory. */
struct inline_counters *events_counters(const struct events *events, const struct policy *next);

/* Go by another configuration, before *events->policy changes to *next. counters: of
 * events_counters(), owned from now on. */
void events_switch(struct events *events, const struct conf *conf, const struct policy *next,
		   struct inline_counters *counters);

/* One event; header as of kern_inline_event_fn. */
void events_take(struct events *events, const struct up_flow_event *event, const uint8_t *header);

/* A connection that the map has: count what it has moved since it was counted last. */
void events_settle(struct events *events, const struct up_flow_key *key,
		   const struct up_flow *flow);

/* A connection that the map has, and maybe no event of ours told of: one that an earlier
 * daemon logged the start of. Its TLVs and destination are in no map: its line lacks them. */
void events_know(struct events *events, const struct up_flow_key *key, const struct up_flow *flow);

/* Log what was counted for each listener. */
void events_say(const struct events *events);

/* A connection of the map as it is shown; its TLVs stay the events'. False: it is over. */
bool events_live(const struct events *events, const struct up_flow_key *key,
		 const struct up_flow *flow, struct conn *ret);

#endif
