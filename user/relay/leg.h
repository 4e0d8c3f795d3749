/* SPDX-License-Identifier: BSD-2-Clause */
/* One of a session's two sockets: what is known of it, and who tells of it. */
#ifndef RELAY_LEG_H
#define RELAY_LEG_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "loop/uring.h"

struct session;

enum side { FRONT, BACK }; /* the balancer's leg, the server's leg */

enum leg_flags {
	LEG_READABLE = 1, /* an edge said so and recv() has not said EAGAIN since */
	LEG_WRITABLE = 2,
	LEG_HUP = 4,        /* the peer will send no more */
	LEG_DEAD = 8,       /* reset or timed out; what it sent before may still be read */
	LEG_DRAIN = 16,     /* a short read does not mean empty: urgent data, or a verdict socket */
	LEG_NO_INPUT = 32,  /* EPOLLIN is not watched: the kernel moves its bytes */
	LEG_OUTPUT = 64,    /* EPOLLOUT is watched: a send() did not fit once */
	LEG_URING = 128,    /* io_uring receives, and nobody else may read */
	LEG_LEAVING = 256,  /* io_uring has been asked to stop */
	LEG_LEFT = 512,     /* not by io_uring again: bulk, or a target that was full */
	LEG_ENDED = 1024,   /* io_uring met the end of the stream */
	LEG_UNHEARD = 2048, /* epoll has to be told again what the leg waits for: by leg_watch() */
};

struct leg {
	struct loop_source source;
	uint16_t flags;
	uint8_t side;
	int16_t error; /* errno of a dead leg */
	struct uring_op receive, send;
};

/* Watch or stop watching EPOLLIN of a leg. */
void leg_watch_input(struct session *session, struct leg *leg, bool watch);

/* io_uring has begun or ceased to receive for the leg: tell epoll, if it watches the leg. */
void leg_watch_again(struct session *session, struct leg *leg);

/* See that epoll will tell what is waited for, also where the two above could not. A socket
 * is added as late as possible, after it has been read empty: so a short connection sees few
 * events, and what came in between is reported at once. 0 or -errno. */
int leg_watch(struct session *session, struct leg *leg);

/* Hear no more of it: of what io_uring does for it, the last word alone. */
void leg_leave(struct session *session, struct leg *leg);

/* How a leg is closed. Its socket is set loud all its life, so that kill -9 of this process is a RST and
 * never the end of a stream that is not whole. */
enum leg_close {
	LEG_CLOSE_END,    /* all of it has been passed on: in order */
	LEG_CLOSE_RESET,  /* it is not whole, or never began: a RST */
	LEG_CLOSE_LET_GO, /* another process has the socket: it goes on */
};

/* Close its socket, if it has one. */
void leg_close(struct leg *leg, enum leg_close how);

/* Mark a leg as broken by errno err. */
void leg_died(struct leg *leg, int err);

/* send() took not all of it: 0, or its errno, one that passes. An event tells when it may go on. */
void leg_full(struct leg *leg, int err);

/* "client_reset", "backend_timeout", ... of a dead leg. */
const char *leg_death_reason(const struct leg *leg);

#endif
