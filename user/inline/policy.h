/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration's inline listeners as the programs' maps have it. Pure: no I/O. */
#ifndef INLINE_POLICY_H
#define INLINE_POLICY_H

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

/* 0 or -ENOMEM. End with policy_free(). */
int policy_build(struct policy *ret, const struct conf *conf);
void policy_free(struct policy *policy);

/* The number of the listener that an event names; -1: of an earlier configuration. */
int policy_find(const struct policy *policy, uint32_t id);

/* The roles that a connection needs for as long as it lives. */
void policy_need_ports(struct up_ports *ports, uint16_t wire, uint16_t app);

#endif
