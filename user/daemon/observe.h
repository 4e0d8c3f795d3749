/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's figures for whoever asks, and the metrics' endpoint. */
#ifndef DAEMON_OBSERVE_H
#define DAEMON_OBSERVE_H

#include "change/change.h"
#include "daemon/recover.h"
#include "loop/loop.h"
#include "obs/stats.h"
#include "snapshot/totals.h"

struct desk;
struct metrics_server;

/* The first members are set by the daemon, whose they are. */
struct observe {
	struct loop *loop;
	const struct relay *relay;
	struct inline_engine **engine;
	const struct change *change;
	const bool *draining;
	uint64_t started_us, began_us; /* CLOCK_REALTIME, CLOCK_MONOTONIC */
	struct totals before;          /* what others had counted; observe_end() */
	struct recover recover;
	struct up_addr addr; /* family 0: not wanted */
	int socket;          /* listens there, also while it is closed; -1: none */
	struct desk *desk;
	struct metrics_server *server; /* NULL: not open */
};

/* All figures, by the main thread, while a generation is served. 0 and *ret is the caller's
 * (stats_free()), or -ENOMEM. */
int observe_take(const struct observe *observe, struct stats **ret);

/* The inline engine goes, for now or for good: what it has counted stays. */
void observe_keep_inline(struct observe *observe);

/* The last line: what it all came to. */
void observe_last(const struct observe *observe);

/* The daemon before gave its socket for that address, which becomes ours; -1: it did not. */
void observe_have(struct observe *observe, const struct up_addr *addr, int socket);

/* Listen at addr, unless a socket does, family 0: not at all. Says itself what fails. 0 or -errno; end with
 * observe_close() in any case. */
int observe_open(struct observe *observe, const struct up_addr *addr);

/* Behind all that takes a privilege, when a generation is served. 0 or -errno. */
int observe_run(struct observe *observe);

void observe_close(struct observe *observe);

/* Nobody waits at the address any more, as far as this daemon is concerned. */
void observe_let_go(struct observe *observe);

/* Closed, and never asked again. */
void observe_end(struct observe *observe);

/* Open and run where it was, or is to be: after another daemon had the address. What fails is
 * said, and the daemon serves without. */
void observe_again(struct observe *observe);

#endif
