/* SPDX-License-Identifier: BSD-2-Clause */
/* The worker of a process that takes over from another: connections come by a channel. */
#ifndef RELAY_TAKE_OVER_H
#define RELAY_TAKE_OVER_H

#include "relay/relay.h"

/* Before the worker starts: connections will come by this socket, which becomes the worker's.
 * 0, or -ENOMEM: it is still the caller's. */
int take_over_add(struct worker *worker, int channel);

/* By the worker, at its start. */
void take_over_begin(struct worker *worker);

/* With the worker. */
void take_over_free(struct worker *worker);

#endif
