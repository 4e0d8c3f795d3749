/* SPDX-License-Identifier: BSD-2-Clause */
/* The programs' events: counted, and told to the client log. */
#ifndef INLINE_EVENTS_H
#define INLINE_EVENTS_H

#include <stdint.h>

#include "client/log.h"
#include "inline/open_flows.h"
#include "inline/policy.h"
#include "kern/inline.h"

/* Of one listener. */
struct inline_counters {
	uint64_t opened;
	uint64_t ended;
	uint64_t refused;
	uint64_t probes;
};

struct events {
	const struct conf *conf;
	const struct policy *policy;
	struct client_log *log; /* NULL: no client log */
	unsigned log_queue;
	struct open_flows *open;
	struct inline_counters *counters; /* one per policy->listeners, and one for all gone */
	int64_t realtime_offset_us;
	uint64_t taken; /* events in all */
};

/* conf, policy, log and log_queue are set. 0 or -ENOMEM. */
int events_init(struct events *events);
void events_free(struct events *events);

/* One event; header as of kern_inline_event_fn. */
void events_take(struct events *events, const struct up_flow_event *event, const uint8_t *header);

/* A connection that the map has, and maybe no event of ours told of: one that an earlier
 * daemon logged the start of. Its TLVs and destination are in no map: its line lacks them. */
void events_know(struct events *events, const struct up_flow_key *key, const struct up_flow *flow);

#endif
