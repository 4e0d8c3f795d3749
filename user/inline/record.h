/* SPDX-License-Identifier: BSD-2-Clause */
/* An event of the programs as a line of the client log. Pure: no I/O. */
#ifndef INLINE_RECORD_H
#define INLINE_RECORD_H

#include <stdint.h>

#include "client/record.h"
#include "inline/open_flows.h"
#include "unproxy/flow_abi.h"

struct conf_listener;

/* What the event alone does not tell. */
struct record_around {
	const struct conf_listener *listener; /* NULL: of an earlier configuration */
	const struct open_flow *open;         /* END: what its OPEN told; NULL: not known */
	int64_t realtime_offset_us;           /* CLOCK_REALTIME - CLOCK_MONOTONIC */
};

/* The record of an event. RECORD_PROBE for health checks, as the relay knows them: nothing
 * said, or LOCAL (or the balancer as its own client) and no data. Its tlv_len is that of
 * around->open; for OPEN it is the header's, see record_tlvs(). */
struct record record_of_event(const struct up_flow_event *event,
			      const struct record_around *around);

/* The record of a flow that lives, and its state in a word (static). */
struct record record_of_flow(const struct up_flow_key *key, const struct up_flow *flow,
			     const struct record_around *around, uint64_t now_ns);
const char *record_flow_state(const struct up_flow *flow);

/* An OPEN event's TLVs in its header: NULL if there are none. *ret_len at most what the
 * log takes. */
const uint8_t *record_tlvs(const struct up_flow_event *event, const uint8_t *header,
			   uint16_t *ret_len);

/* Where the client connected to by an OPEN event; family NONE: the header does not say. */
struct up_addr record_destination(const struct up_flow_event *event);

#endif
