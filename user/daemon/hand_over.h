/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon that another one may take over from: a door, one guest at a time, and what is
 * given in which order (docs/upgrade.md). Whatever fails before the guest's last word, this
 * daemon goes on with all that has not been taken.
 */
#ifndef DAEMON_HAND_OVER_H
#define DAEMON_HAND_OVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "change/change.h"
#include "loop/loop.h"
#include "obs/stats.h"
#include "relay/relay.h"

struct hand_over_door;

/* What is the daemon's. Each function is called with true to let go, and with false to have it
 * again, if it came to nothing. */
struct hand_over_host {
	void *context;
	struct loop *loop;
	struct relay *relay;
	struct change *change;
	void (*inline_engine)(void *context, bool let_go);
	void (*services)(void *context, bool let_go);      /* control socket and the like */
	int (*figures)(void *context, struct stats **ret); /* all; 0 or -errno */
	int (*control)(void *context); /* the control socket, to be shared; -1: none */
	int (*metrics)(void *context, struct up_addr *ret); /* ... of the metrics, and where */
	/* Another has all: end with the last connection that stayed. */
	void (*retire)(void *context);
};

/* Let others in at path, mode 0600; what a dead daemon left is replaced. taken: the socket that
 * listens there, from the daemon before, whose owner the door becomes; -1: none. *host is copied.
 * Returns 0 and gives *ret to the caller, or -errno: -EADDRINUSE another daemon answers. */
int hand_over_open(const char *path, int taken, const struct hand_over_host *host,
		   struct hand_over_door **ret);

/* Is somebody in it, or on the way out? */
bool hand_over_is_busy(const struct hand_over_door *door);

/* All workers are through; the connections of them that were told. */
typedef void hand_over_stored_fn(void *context, uint64_t connections);

/* Nobody is in it, and nobody comes in any more: have the workers tell their connections on
 * `sessions`, one way, which stays the caller's. Each has its own reason to keep some. At
 * least one worker runs; stored is called when all are through, and the door stays as it is. */
void hand_over_store(struct hand_over_door *door, int sessions, hand_over_stored_fn *stored,
		     void *context);

/* Tell on fd what all has come to, and share the sockets by which daemons are asked. 0 or -errno. */
int hand_over_totals(const struct hand_over_door *door, int fd);

/* Let nobody in for now, or again: who comes meanwhile waits. A guest that is in it stays there. */
void hand_over_pause(struct hand_over_door *door, bool pause);

/* Another daemon has the socket: nobody comes in here any more. */
void hand_over_let_go(struct hand_over_door *door);

/* NULL is allowed. The workers have stopped. */
void hand_over_close(struct hand_over_door *door);

#endif
