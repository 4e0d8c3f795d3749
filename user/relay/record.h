/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection's line in the client log. */
#ifndef RELAY_RECORD_H
#define RELAY_RECORD_H

#include "client/record.h"
#include "obs/stats.h"
#include "relay/listener.h"
#include "relay/session.h"
#include "unproxy/reason.h"

/* One that never became a session. */
void record_refused_at_accept(struct listener *listener, const struct up_addr *peer,
			      enum up_reason reason);

/* One that is not relayed, and will be reset: hint is a static string or NULL. */
void record_refused(struct session *session, enum up_reason reason, const char *hint);

/* A relayed one has begun (logged only with log_start) or is over. */
void record_started(struct session *session);
void record_ended(struct session *session);

/* What is known of one that goes on; the address the balancer connected to only if the header
 * has it. path_*: what moves the next bytes. */
struct record record_live(struct session *session);

/* A health check: counted, logged only with log_probes. */
void record_probe(struct session *session, enum stats_probe kind);

/* The address the balancer connected to. */
void record_own_address(const struct session *session, struct up_addr *ret);

#endif
