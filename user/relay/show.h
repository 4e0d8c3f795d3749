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

/* Its number for people, the key in the map too: its socket's cookie; 0: it cannot be asked for. */
uint64_t show_number(struct session *session);

/* It is in the map under that number, or will be. */
void show_begun(struct session *session);

/* Take it out of the map. */
void show_gone(struct session *session);

/* It stays in the map: another process shows it there from now on. */
void show_let_go(struct session *session);

/* Once a second: settle the young, show what changed. */
void show_tick(struct worker *worker);

#endif
