/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A restart without a successor to talk to: all that a takeover hands over waits in the
 * receive queues of two sockets, which the service manager keeps for the next start
 * (docs/upgrade.md). One has the listening sockets, pins and totals, and is only looked at
 * until the next daemon has all; the other has the connections, each read once.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/hand_over.h"
#include "daemon/offer_all.h"

/* As the manager names them, LISTEN_FDNAMES. */
#define STORE_LISTENERS "unproxy-listeners"
#define STORE_SESSIONS "unproxy-sessions"

enum store_part { STORE_PART_LISTENERS, STORE_PART_SESSIONS, STORE_PART__MAX };

extern const char *const store_names[STORE_PART__MAX];

struct store {
	int ours[STORE_PART__MAX], theirs[STORE_PART__MAX]; /* -1: none */
	const struct hand_over_host *host;
	const struct hand_over_door *door;
	struct offered offered;
	bool begun;
	bool stopped; /* ... and it was told to stop, which it does by itself */
};

/* Make the sockets, while there is the privilege for large ones; without a manager none. */
void store_prepare(struct store *store);

/* Have the manager keep all, and end with the last connection that it cannot keep. *host and
 * door outlive it. 0, or -errno with why, and nothing has changed. */
int store_begin(struct store *store, const struct hand_over_host *host, struct hand_over_door *door,
		char *why, size_t why_size);

/* It is told to stop: does it do so anyhow? Once; whoever says it again means it. */
bool store_stops(struct store *store);

/* The next daemon has all: the manager drops what it has kept. */
void store_forget(void);

/* A zeroed one, if its descriptors are -1, may be ended as well. */
void store_end(struct store *store);

#endif
