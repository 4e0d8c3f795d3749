/* SPDX-License-Identifier: BSD-2-Clause */
/* All that a daemon has, told to the one that takes over: what answers its greeting, or what
 * the service manager keeps for it. */
#ifndef DAEMON_OFFER_ALL_H
#define DAEMON_OFFER_ALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "change/change.h"
#include "relay/relay.h"

/* What was told, in that order. Zero-initialise. */
struct offered {
	struct up_addr *sockets; /* the listening sockets' addresses */
	size_t n_sockets;
	int *channels; /* our ends, one per worker; -1: a worker has it */
	unsigned n_channels;
};

/* Tell it on fd, waiting a little where it does not read at once; connections: each worker has
 * a channel for them. End with offered_free() in any case. 0 or -errno. */
int offer_all(struct relay *relay, const struct change *change, int fd, bool connections,
	      struct offered *ret);
void offered_free(struct offered *offered);

/* What all has come to. */
struct offer_last {
	const struct relay *relay;
	const struct stats *stats;
	uint64_t handed; /* connections */
	/* The listening sockets by which daemons are asked, to be shared; -1: none */
	int control, door, metrics;
	struct up_addr metrics_addr;
};

/* Waiting a little, as above. 0 or -errno. */
int offer_totals(const struct offer_last *last, int fd);

#endif
