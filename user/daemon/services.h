/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * By what a daemon is asked: of its state, and by the next one for all it has. One daemon has
 * them at a time; with a takeover they go over last.
 */
#ifndef DAEMON_SERVICES_H
#define DAEMON_SERVICES_H

#include "ctl/ctl.h"
#include "daemon/observe.h"
#include "daemon/store.h"
#include "daemon/upgrade.h"

struct services {
	struct ctl_context context;
	struct ctl *ctl; /* NULL: nobody can ask */
	struct upgrade upgrade;
	struct store store;
	struct hand_over_host host;
	const struct services_daemon *daemon;
};

/* Nothing is open yet. */
#define SERVICES_NONE                                                                              \
	{                                                                                          \
		.upgrade.kept = { -1, -1 }, .store = { .ours = { -1, -1 }, .theirs = { -1, -1 } }, \
	}

/* The daemon, as they need it; it outlives them. */
struct services_daemon {
	void *context;
	struct loop *loop;
	struct relay *relay;
	struct inline_engine **engine;
	struct change *change;
	struct observe *observe;
	int (*open_inline)(void *context);
	void (*drain)(void *context); /* to end with the last connection */
};

/* Whatever fails is said, and the daemon serves without. */
void services_open(struct services *services, const struct services_daemon *daemon,
		   const struct conf *conf);

/* Without --takeover nothing; else in this order: the connections, which the workers take on
 * already; the services; and the other daemon may end. */
void services_take_over(struct services *services, const struct services_daemon *daemon,
			const struct conf *conf);

/* With the daemon; its control socket is closed before. */
void services_end(struct services *services);

#endif
