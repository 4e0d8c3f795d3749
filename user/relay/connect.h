/* SPDX-License-Identifier: BSD-2-Clause */
/* State CONNECT: choose a server, connect, move on to the next if it refuses. */
#ifndef RELAY_CONNECT_H
#define RELAY_CONNECT_H

#include "relay/session.h"

/* Returns SESSION_CONNECT (waiting), SESSION_RELAY, or SESSION_CLOSED (no server is left;
 * already recorded). */
enum session_state connect_step(struct session *session);

/* The server at hand took too long: try the next. */
void connect_timeout(struct session *session);

#endif
