/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker of a process from which another takes over: each of its connections, brought to
 * a standstill, told, and let go of when the other one has said that it has it. One that
 * cannot be told stays, and so do all the rest when the other end is gone.
 *
 * Or nobody is there yet, and the service manager keeps what is told: then all who tell share
 * one socket, nobody answers, and a connection is gone when it has been told. Its sockets
 * are loud (leg.h): whoever drops it meanwhile resets it.
 */
#ifndef RELAY_HAND_OVER_H
#define RELAY_HAND_OVER_H

#include "relay/relay.h"

/* Begin: nothing is accepted any more. channel becomes the worker's; with relay->storing
 * nobody answers. By the worker. When all is told, relay->handed_fd has one more. */
void hand_over_begin(struct worker *worker, int channel);

/* It came to nothing: go on as before. */
void hand_over_undo(struct worker *worker);

/* With the worker. */
void hand_over_free(struct worker *worker);

/* The worker stops: those that stand still may be another's by now. */
void hand_over_abandon(struct worker *worker);

#endif
