/* SPDX-License-Identifier: BSD-2-Clause */
/* The listening sockets of all workers, for another process. */
#ifndef RELAY_OFFER_H
#define RELAY_OFFER_H

#include "relay/relay.h"

/* Of one worker. Zero-initialise. */
struct offer {
	struct adopted *sockets; /* descriptors of their own */
	size_t n_sockets;
	int err;   /* 0, or -errno: they are not all */
	bool told; /* atomic: all of this is there */
};

/* Ask all workers, and wait. offers: one per worker; end with offers_free() in any case. By the
 * main thread. 0, -ETIMEDOUT: a worker does not answer (offers may not be freed then, ever),
 * or -errno. */
int offers_gather(struct relay *relay, struct offer *offers);
void offers_free(struct offer *offers, unsigned n);

/* By the worker: WORKER_OFFER. */
void offer_fill(struct worker *worker);

#endif
