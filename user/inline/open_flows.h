/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an OPEN event told that the line at the connection's end needs: the header's
 * destination and TLVs, which the kernel does not keep. Bounded in number and bytes.
 */
#ifndef INLINE_OPEN_FLOWS_H
#define INLINE_OPEN_FLOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unproxy/flow_abi.h"

struct open_flow {
	struct open_flow *next;
	struct up_flow_key key;
	uint64_t created_ns; /* with the key it names the connection */
	int listener;        /* its number; -1: not known */
	struct up_addr destination;
	uint64_t bytes[2]; /* that the counters have, by way */
	uint16_t header_len;
	uint16_t tlv_len;
	bool seen; /* by the walk of open_flows_unseen() */
	uint8_t tlvs[];
};

struct open_flows;

/* Room for so many connections. 0 or -ENOMEM. */
int open_flows_new(uint32_t room, struct open_flows **ret);
void open_flows_free(struct open_flows *flows);

/* Remember one, in place of one of the same key: its end was never told. TLVs are left out
 * when there is no room for their bytes; NULL: no room at all, or no memory. */
struct open_flow *open_flows_add(struct open_flows *flows, const struct open_flow *flow,
				 const uint8_t *tlvs);

/* NULL: not known. */
struct open_flow *open_flows_find(const struct open_flows *flows, const struct up_flow_key *key,
				  uint64_t created_ns);

/* Forget one that open_flows_find() gave. */
void open_flows_remove(struct open_flows *flows, struct open_flow *flow);

/* Forget those whose end was never told: all that are not `seen`. The marks are cleared. */
void open_flows_remove_unseen(struct open_flows *flows);

/* A number for a connection, the same whoever asks and as long as it lives; never 0. */
uint64_t flow_number(const struct up_flow_key *key, uint64_t created_ns);

size_t open_flows_count(const struct open_flows *flows);

#endif
