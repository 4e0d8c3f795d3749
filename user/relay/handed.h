/* SPDX-License-Identifier: BSD-2-Clause */
/* A session as it is told to another process, and made again there. */
#ifndef RELAY_HANDED_H
#define RELAY_HANDED_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/session.h"
#include "takeover/record.h"

/* Is nothing of it under way, in no buffer but its own? Else it is asked to come to that: try
 * again later. */
bool handed_quiet(struct session *session);

/* What there is to tell of a quiet session; it points into it. False: it cannot be handed on. */
bool handed_describe(const struct session *session, struct handed *ret);

/* Make a session of it. fds: the sockets, or -1; they are the session's on success. It stands
 * still. 0, or -errno: -ENOENT this process has no such listener or server, -EBADMSG the
 * sockets are others than the record's. */
int handed_make(struct worker *worker, const struct handed *handed, int fds[2],
		struct session **ret);

/* Undo handed_make(): nobody is told anything. */
void handed_discard(struct session *session);

/* No event, no timer moves it, and it is in none of the worker's lists. It is quiet. */
void handed_suspend(struct session *session);

/* Go on, as if everything had just become readable. timer_us: of CONNECT. */
void handed_resume(struct session *session, uint64_t timer_us);

#endif
