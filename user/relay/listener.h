/* SPDX-License-Identifier: BSD-2-Clause */
/* Where connections come from: one listening socket of one worker. */
#ifndef RELAY_LISTENER_H
#define RELAY_LISTENER_H

#include "conf/conf.h"
#include "loop/loop.h"
#include "loop/uring.h"
#include "relay/relay.h"

struct listener {
	struct loop_source source; /* fn: epoll tells of connections, and accept4() takes them */
	struct uring_op accept;
	bool accepting; /* io_uring takes them, until the operation's last word */
	bool leaving;   /* ... which it has been asked for */
	bool closing;   /* ... and with which the socket is closed */
	uint8_t family; /* enum up_family */
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

/* uring_handlers.accepted of struct listener's accept. */
void listener_accepted(struct uring_op *op, int result, bool more);

/* A connection that it took is over: there is room for another. */
void listener_give_place(struct listener *listener);

/* Take what is in the backlog, then close; with io_uring, after its last word. */
void listener_close(struct listener *listener);

#endif
