/* SPDX-License-Identifier: BSD-2-Clause */
/* What the service manager has kept of a daemon that has ended, where there is nobody to talk to. */
#ifndef DAEMON_TAKE_KEPT_H
#define DAEMON_TAKE_KEPT_H

#include "relay/relay.h"

/* Close those listening sockets that no listener here has taken: nobody else serves them. Says so. */
void kept_close(struct relay *relay);

/* The workers are about to start: all read their connections from there, -1: there are none. It
 * stays the caller's. 0 or -errno. */
int kept_share(struct relay *relay, int sessions);

/* Wait until they have read all. */
void kept_await(struct relay *relay, int sessions);

#endif
