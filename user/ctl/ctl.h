/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: who may ask, what is asked, and what it costs is bounded. It runs in
 * the main thread's loop and never on the data path. The protocol is docs/control.md.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "change/change.h"
#include "conf/conf.h"
#include "ctl/socket.h"
#include "inline/inline.h"
#include "loop/loop.h"
#include "obs/stats.h"
#include "relay/relay.h"

struct ctl;

/* What commands need of the daemon. The daemon's own: it may change between two requests. */
struct ctl_context {
	struct loop *loop;
	struct change *change;
	struct relay *relay;           /* also the configurations: see ctl_conf() */
	struct inline_engine **engine; /* *engine NULL: no inline listener */
	/* All figures there are: 0 and *ret is the caller's (stats_free()), or -errno. */
	int (*take_stats)(const void *owner, struct stats **ret);
	const void *stats_owner;
	/* Have the service manager keep all for the next daemon, and end. 0, or -errno with why. */
	int (*store)(void *owner, char *why, size_t why_size);
	void *store_owner;
	const struct ctl *ctl; /* itself; set by ctl_open() */
};

struct ctl_counters {
	uint64_t requests;
	uint64_t dropped; /* clients that did not read what they had asked for */
	uint64_t evicted; /* idle clients that gave their place to a new one */
	uint32_t clients; /* now */
};

/* Listen at place->path, mode 0600, or 0660 for place->gid (0: root alone). The directory is made if its
 * parent is there. What a dead daemon left is replaced. context is the caller's and outlives
 * it. Returns 0 and gives *ret to the caller, or -errno with why telling what failed;
 * -EADDRINUSE: a live daemon answers there. Does not log. */
int ctl_open(struct ctl_context *context, const struct ctl_place *place, struct ctl **ret,
	     char *why, size_t why_size);

/* Drop all clients, remove the socket if it is still ours. The workers have stopped. NULL is
 * allowed. */
void ctl_close(struct ctl *ctl);

/* Let nobody in for now, or again: who comes meanwhile waits. Those who are in stay. */
void ctl_pause(struct ctl *ctl, bool pause);

/* The listening socket, for the daemon that takes over; it stays ours. And: that one has it. */
int ctl_fd(const struct ctl *ctl);
void ctl_let_go(struct ctl *ctl);

const char *ctl_path(const struct ctl *ctl);
const struct ctl_counters *ctl_counters(const struct ctl *ctl);

#endif
