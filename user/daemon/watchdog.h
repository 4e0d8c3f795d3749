/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager's watchdog is fed as long as the main loop turns and every worker
 * answers: one that is stuck leaves its connections unserved, and nobody else would notice.
 */
#ifndef DAEMON_WATCHDOG_H
#define DAEMON_WATCHDOG_H

#include "loop/loop.h"
#include "relay/relay.h"

struct watchdog {
	struct loop *loop;
	struct loop_timer timer;
	const struct relay *relay;
	uint64_t every_us; /* 0: nobody wants to be told */
};

/* *watchdog and the relay live as long as the loop. */
void watchdog_start(struct watchdog *watchdog, struct loop *loop, const struct relay *relay);

#endif
