/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path `copy` as it is done with io_uring: the bytes of an idle-most leg come by themselves,
 * and go out with those of all other connections in one system call. Only what is easy: a
 * target that is full, a bulk transfer, an accelerated socket leave to epoll and path_copy.c
 * for good.
 */
#ifndef RELAY_PATH_URING_H
#define RELAY_PATH_URING_H

#include "loop/uring.h"
#include "relay/session.h"

/* What a worker's io_uring is made with: every operation of it is a leg's. */
extern const struct uring_handlers uring_path_handlers;

/* Let io_uring receive for a leg that has been read empty, if it may (LEG_URING then). */
void uring_path_begin(struct session *session, struct leg *leg);

/* Send the early data, the flow's chunk, to a server that may be connected already (one on
 * this host is): session->early until the result runs the session. 0, or -errno: not taken. */
int uring_path_send_early(struct session *session);

/* Ask the receive to end. */
void uring_path_leave(struct session *session, struct leg *leg);

#endif
