/* SPDX-License-Identifier: BSD-2-Clause */
/* Which process listens on a port. Of this network namespace; looks, and touches nothing. */
#ifndef DOCTOR_OWNER_H
#define DOCTOR_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "unproxy/addr.h"

struct listening {
	struct up_addr addr;
	bool v6only;
	uint32_t inode;
	uid_t uid;
};

/* All listening TCP sockets. Zero-initialised: none. */
struct listenings {
	struct listening *list;
	size_t n;
};

/* 0, or -errno with what has been read so far. */
int listenings_read(struct listenings *ret);
void listenings_free(struct listenings *listenings);

/* The first socket that takes connections which one bound to addr would, too. NULL: none. */
const struct listening *listenings_find(const struct listenings *listenings,
					const struct up_addr *addr);

struct owner {
	pid_t pid;     /* 0: not found (another user's, another pid namespace's, or gone) */
	char name[32]; /* its command; "?" */
	bool ours;     /* an unproxy */
};

void owner_find(const struct listening *listening, struct owner *ret);

/* Not found, and nothing follows from that: without privilege the daemon's own look so, too. */
bool owner_is_hidden(const struct owner *owner);

/* An address of this host, in use? Loopback, too. */
bool addr_is_local(const struct up_addr *addr);

/* Of the addresses of this host, the first of that family (UP_FAMILY_NONE: any) that fn says
 * yes to. True: there is one, *ret, with port 0. */
bool addr_local_find(enum up_family family,
		     bool (*fn)(const void *context, const struct up_addr *addr),
		     const void *context, struct up_addr *ret);

#endif
