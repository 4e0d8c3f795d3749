/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One daemon takes over from another: both parts of it, as steps of a daemon's life. This
 * file decides what is said; take_over.h and hand_over.h do it.
 */
#ifndef DAEMON_UPGRADE_H
#define DAEMON_UPGRADE_H

#include "daemon/hand_over.h"
#include "daemon/take_over.h"

struct upgrade {
	char *path;                  /* where daemons meet; NULL: nowhere */
	struct take_over_all *from;  /* the one that this one takes over from, until it has */
	int kept[STORE_PART__MAX];   /* what came from the service manager; -1: nothing */
	struct hand_over_door *door; /* for the next one; NULL: it is shut */
};

/* Daemons meet beside their control socket; NULL: there is none. 0 or -ENOMEM. */
int upgrade_init(struct upgrade *upgrade, const char *control);

/* ask: ask whoever serves for all it has; nobody there is no error. Else, or then: have what the
 * service manager has kept of a daemon that has ended, if there is any. 0 or -errno. */
int upgrade_begin(struct upgrade *upgrade, struct relay *relay, bool ask);

/* All is loaded and bound, no thread has begun: the other one lets go of what cannot have two
 * owners. 0 or -errno. */
int upgrade_prepared(struct upgrade *upgrade);

/* The last moment before the workers start, and take what comes: is it still wanted? 0, or -ECANCELED: it was
 * told to stop, and has said so. */
int upgrade_begun(struct upgrade *upgrade);

/* The workers run: they take the connections on, and totals what was counted. */
void upgrade_connections(struct upgrade *upgrade, struct totals *totals);

/* All is taken on: the other one may end. */
void upgrade_complete(struct upgrade *upgrade);

/* The next one may come. */
void upgrade_open_door(struct upgrade *upgrade, const struct hand_over_host *host);

/* The daemon ends. */
void upgrade_end(struct upgrade *upgrade);

#endif
