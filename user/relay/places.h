/* SPDX-License-Identifier: BSD-2-Clause */
/* Room for connections, in all and of a listener: atomic counts, all workers together. */
#ifndef RELAY_PLACES_H
#define RELAY_PLACES_H

#include <stdbool.h>

#include "relay/generation.h"
#include "relay/relay.h"

/* Take a place by these rules. False: all are taken. */
bool rules_take_place(struct relay *relay, const struct rules *rules);

/* One that has been let in elsewhere: no limit refuses it. */
void rules_force_place(struct relay *relay, const struct rules *rules);

/* A connection that was taken by these rules is over: there is room for another. */
void rules_give_place(struct relay *relay, const struct rules *rules);

#endif
