/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration's inline listeners as the programs' maps have it. Pure: no I/O. */
#ifndef INLINE_POLICY_H
#define INLINE_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "kern/inline.h"

struct policy {
	struct up_listen_key *keys;
	struct up_listen *listens;
	size_t n_listens;
	struct up_trust_key *trust;
	size_t n_trust;
	const struct conf_listener **listeners; /* by number */
	uint32_t *ids;                          /* ... what the programs call them */
	size_t n_listeners;
	struct up_ports ports; /* roles that the listeners need */
};

/* Is a listener drained, that is, does it refuse connections? NULL: none is. */
typedef bool policy_drained_fn(void *context, const char *listener);

/* 0 or -ENOMEM. End with policy_free(). At a drained listener the programs answer every new
 * connection with RST, whoever it is from. */
int policy_build(struct policy *ret, const struct conf *conf, policy_drained_fn *drained,
		 void *context);
void policy_free(struct policy *policy);

/* The number of the listener that an event names; -1: of an earlier configuration. */
int policy_find(const struct policy *policy, uint32_t id);

/* The roles that a connection needs for as long as it lives. */
void policy_need_ports(struct up_ports *ports, uint16_t wire, uint16_t app);

#endif
