/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker of a process that takes over from another: connections come by a channel. Or from
 * what the service manager has kept of one that has ended: then all workers read one socket
 * to its end, nobody is answered, and what cannot be taken on is reset.
 */
#ifndef RELAY_TAKE_OVER_H
#define RELAY_TAKE_OVER_H

#include "relay/relay.h"

/* Before the worker starts: connections will come by this socket, which becomes the worker's.
 * kept: by the service manager; relay->taken_fd has one more when there are no more. 0, or
 * -ENOMEM: it is still the caller's. */
int take_over_add(struct worker *worker, int channel, bool kept);

/* By the worker, when it has its first rules. */
void take_over_begin(struct worker *worker);

/* How many stay with the other daemon, in one line of the log; nothing where all came. Main
 * thread, when no more will come. */
void take_over_say_left(const struct relay *relay);

/* With the worker. */
void take_over_free(struct worker *worker);

#endif
