/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon that takes over from another: what it asks for, in the order of its own start.
 * It waits for each answer. When the other one dies meanwhile, it goes on alone with what it
 * has.
 *
 * Or from one that has ended, whose all the service manager has kept (store.h): then nobody is
 * asked, and nobody answers.
 */
#ifndef DAEMON_TAKE_OVER_H
#define DAEMON_TAKE_OVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/store.h"
#include "relay/relay.h"
#include "snapshot/totals.h"
#include "takeover/message.h"

struct take_over_all;

/* Ask the daemon behind path. relay->adopted is filled. Returns 0 and gives *ret to the
 * caller, or -errno: -ENOENT nobody is there; else why it cannot be. */
int take_over_ask(const char *path, struct relay *relay, struct take_over_all **ret, char *why,
		  size_t why_size);

/* From what has been kept: fds are of each enum store_part, -1: there is none; they become ours.
 * relay->adopted is filled. Until take_over_connections() nothing is taken from there: another
 * process may begin anew. What is of another version is done without, and said. 0 and *ret is
 * the caller's, or -ENOMEM. */
int take_over_kept(int fds[STORE_PART__MAX], struct relay *relay, struct take_over_all **ret);

/* The other one's pins, and the descriptor that locks them; NULL: it has none. Of the relay's
 * maps all is filled. all: NULL is allowed. */
const struct kern_shared *take_over_pins(const struct take_over_all *all, enum takeover_pins which);

/* What had been said to the other one at run time is said again, before anything is published;
 * what this configuration contradicts is left out, and named in the log. */
void take_over_changes(const struct take_over_all *all, struct change *change);

/* All is loaded, all is bound: have the other one let go of the inline engine. 0 or -errno. */
int take_over_prepared(struct take_over_all *all, char *why, size_t why_size);

/* From here on it goes to its end, whatever comes. 0, or -ECANCELED with why: SIGTERM or SIGINT has
 * come before, and waits for whoever reads it. */
int take_over_begun(struct take_over_all *all, char *why, size_t why_size);

/* The workers are about to start: they will get connections. 0 or -errno. */
int take_over_workers(struct take_over_all *all);

/* They run: take the connections on, and wait until the other one has no more to give. It
 * cannot fail any more. What it had counted is added to totals. */
void take_over_connections(struct take_over_all *all, struct totals *totals);

/* What the other one was asked by, now to be ours. */
enum take_over_socket { TAKE_OVER_CONTROL, TAKE_OVER_DOOR, TAKE_OVER_METRICS, TAKE_OVER_SOCKETS };

/* The listening socket, the caller's: after take_over_connections(), once. -1: it gave none. all:
 * NULL is allowed. */
int take_over_socket(struct take_over_all *all, enum take_over_socket which);

/* The one of the metrics, if that is where they are to be. As above. */
int take_over_metrics(struct take_over_all *all, const struct up_addr *addr);

/* All else is taken on, too: the other one may end. */
void take_over_commit(struct take_over_all *all);

/* NULL is allowed. Before take_over_commit(): the other one goes on. */
void take_over_end(struct take_over_all *all);

#endif
