/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live connections in the pinned map, for people with bpftool: told once a second and in
 * batches, of connections older than a second. Short ones cost nothing.
 */
#ifndef RELAY_SHOW_H
#define RELAY_SHOW_H

#include "relay/session.h"

/* Something moved: show it anew with the next tick. */
void show_changed(struct session *session);

/* It is in the map under its socket's cookie, or will be. */
void show_begun(struct session *session, uint64_t cookie);

/* Take it out of the map. */
void show_gone(struct session *session);

/* Once a second: settle the young, show what changed. */
void show_tick(struct worker *worker);

#endif
