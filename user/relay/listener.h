/* SPDX-License-Identifier: BSD-2-Clause */
/* Where connections come from: one listening socket of one worker. */
#ifndef RELAY_LISTENER_H
#define RELAY_LISTENER_H

#include "conf/conf.h"
#include "loop/loop.h"
#include "relay/relay.h"

struct listener {
	struct loop_source source;
	struct worker *worker;
	const struct conf_listener *conf;
	struct pool *pool;
	uint32_t *connections; /* atomic: of this conf listener, all workers together */
};

/* Bind one port. 0 or -errno. */
int listener_open(struct listener *listener, const struct up_addr *addr);

/* Start or stop taking connections; those in the backlog wait. */
int listener_resume(struct listener *listener);
void listener_pause(struct listener *listener);

/* Take what is in the backlog, then close. */
void listener_close(struct listener *listener);

#endif
