/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets that were open before this process was, found by their address. Those of
 * a daemon that is taken over (relay->adopted) are given away: each is served once, and what
 * is left goes back. Those of a service manager (relay->inherited) are copied: the originals
 * stay, for listeners that come and go, and for the next daemon. By the main thread.
 */
#ifndef RELAY_ELSEWHERE_H
#define RELAY_ELSEWHERE_H

#include "relay/relay.h"

/* Is there an nth socket for the address, counted over calls of elsewhere_take() for it? */
bool elsewhere_has(const struct relay *relay, const struct up_addr *addr, size_t nth);

/* The nth socket for the address; *ret_shared: others have it, too, and its backlog is theirs.
 * Returns the descriptor, the caller's from now on, -ENOENT if there is none, or another
 * -errno. */
int elsewhere_take(const struct relay *relay, const struct up_addr *addr, size_t nth,
		   bool *ret_shared);

#endif
