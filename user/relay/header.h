/* SPDX-License-Identifier: BSD-2-Clause */
/* State HEADER: wait for the whole PROXY header, learn the client. */
#ifndef RELAY_HEADER_H
#define RELAY_HEADER_H

#include "relay/session.h"

/* Read and parse. Returns SESSION_HEADER (more is needed), SESSION_CONNECT, or
 * SESSION_CLOSED (refused or a probe; already recorded). */
enum session_state header_step(struct session *session);

/* The time is over. */
void header_timeout(struct session *session);

#endif
