/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's figures at one moment. In the main thread, which owns what is looked at. */
#ifndef SNAPSHOT_TAKE_H
#define SNAPSHOT_TAKE_H

#include "inline/inline.h"
#include "obs/stats.h"
#include "relay/relay.h"
#include "snapshot/totals.h"

/* What is looked at; all of it is the caller's. */
struct snapshot_from {
	const struct relay *relay;    /* serves a generation */
	struct inline_engine *engine; /* NULL: no inline listener */
	uint64_t started_us;          /* CLOCK_REALTIME */
	uint64_t began_us;            /* CLOCK_MONOTONIC of the same moment */
	bool draining;                /* takes no new connections, or says so */
	const struct stats_reload *reloads;
	const struct totals *before; /* this daemon */
};

/* 0 and *ret is the caller's (stats_free()), or -ENOMEM. */
int snapshot_take(const struct snapshot_from *from, struct stats **ret);

#endif
