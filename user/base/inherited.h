/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets that were open before this process was: a service manager's, or another
 * daemon's. They are found by their address. What is taken is a copy: the original stays open
 * as long as the process lives, and with it the backlog. No policy, no logging.
 */
#ifndef BASE_INHERITED_H
#define BASE_INHERITED_H

#include <stddef.h>

#include "unproxy/addr.h"

struct inherited_socket {
	int fd;
	struct up_addr addr;
};

struct inherited {
	struct inherited_socket *sockets;
	size_t n;
};

/* Make fd one of them, which owns it then: a TCP socket that listens, and made non-blocking.
 * 0, or -errno and why. */
int inherited_add(struct inherited *inherited, int fd, char *why, size_t why_size);

/* How many there are of an address. */
size_t inherited_count(const struct inherited *inherited, const struct up_addr *addr);

/* A copy of the nth of that address, round and round. Returns the descriptor, -ENOENT for an
 * address that has none, or another -errno. */
int inherited_take(const struct inherited *inherited, const struct up_addr *addr, size_t nth);

void inherited_free(struct inherited *inherited);

#endif
