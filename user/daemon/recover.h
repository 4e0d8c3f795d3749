/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers that rest are tried by the connections of clients. When a host has said "not ready"
 * there are none any more, and it would never be ready again: so whoever asks has the servers
 * tried whose rest is over.
 */
#ifndef DAEMON_RECOVER_H
#define DAEMON_RECOVER_H

#include "loop/loop.h"
#include "relay/generation.h"

#define RECOVER_PROBES 16 /* at a time */

struct recover_probe {
	struct loop_source source; /* the connection; fd -1: this place is free */
	struct loop_timer timer;
	struct recover *recover;
	struct up_addr addr;
	char backend[CONF_NAME_MAX];
	int server;
};

struct recover {
	struct loop *loop;
	const struct generations *books;
	struct recover_probe probes[RECOVER_PROBES];
};

void recover_init(struct recover *recover, struct loop *loop, const struct generations *books);

/* Begin to try what may be tried; how it went is seen in the pool soon after. */
void recover_look(struct recover *recover);

void recover_stop(struct recover *recover);

#endif
