/* SPDX-License-Identifier: BSD-2-Clause */
/* Where connections come from: one listening socket of one worker. Its rules are those of the
 * newest generation; it outlives generations as long as they listen on its address. */
#ifndef RELAY_LISTENER_H
#define RELAY_LISTENER_H

#include "conf/conf.h"
#include "loop/loop.h"
#include "loop/uring.h"
#include "relay/generation.h"
#include "relay/relay.h"

struct listener {
	struct loop_source source; /* fn: epoll tells of connections, and accept4() takes them */
	struct uring_op accept;
	bool accepting;  /* io_uring takes them, until the operation's last word */
	bool leaving;    /* ... which it has been asked for */
	bool closing;    /* ... and with which the socket is closed */
	bool shared;     /* others have the socket, too, and its backlog is theirs */
	struct list all; /* worker->listeners */
	struct loop_deferred deferred;
	struct up_addr addr;
	struct worker *worker;
	const struct rules *rules;     /* which its connections begin with */
	uint32_t backlog, backlog_max; /* its part of the listener's */
};

/* With the nth socket that was opened elsewhere for the address, or one of its own, bound; it
 * need not listen yet. By the main thread. 0 or -errno. */
int listener_new(struct worker *worker, const struct rules *rules, const struct up_addr *addr,
		 size_t nth, struct listener **ret);
/* Connections wait in its backlog from now on. By the main thread. 0 or -errno. */
int listener_listen(struct listener *listener);
/* Of those that never were a worker's, or whose worker is gone. */
void listener_free(struct listener *listener);
void listener_free_all(struct list *listeners);

/* The worker has it from now on. */
void listener_begin(struct listener *listener);
/* Other rules, of a newer generation, for the connections to come. */
void listener_switch(struct listener *listener, const struct rules *rules);

/* Start or stop taking connections; those in the backlog wait. */
void listener_resume(struct listener *listener);
void listener_pause(struct listener *listener);

/* Out of descriptors, memory or places: leave what waits in the worker's backlogs for a moment,
 * and say so once a minute. */
void listeners_pause(struct worker *worker, const char *why);

/* Accept what waits, though nobody has told of it. */
void listener_look(struct listener *listener);

/* uring_handlers.accepted of struct listener's accept. */
void listener_accepted(struct uring_op *op, int result, bool more);

/* Look at how many wait for accept(). */
void listener_see_backlog(struct listener *listener);

/* Take what is in the backlog, unless it is shared, then close; with io_uring, after its last
 * word. Frees it. */
void listener_close(struct listener *listener);

#endif
