/* SPDX-License-Identifier: BSD-2-Clause */
/* The servers, once a second, in the kernel's map for people: bpftool map dump. */
#ifndef DAEMON_SHOW_H
#define DAEMON_SHOW_H

#include "loop/loop.h"
#include "relay/relay.h"

struct backend_show {
	struct loop *loop;
	struct relay *relay;
	struct loop_timer timer;
	uint32_t shown; /* entries that the map has */
};

/* *show and the relay, which has a kernel path and a generation, live as long as the loop. */
void backend_show_start(struct backend_show *show, struct loop *loop, struct relay *relay);

#endif
