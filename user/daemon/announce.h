/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a start and a stop say. A start is five lines, whatever the number of listeners:
 * start, kernel_path (or inline.on), hook, listeners.open, ready; six with both engines.
 * Whatever else is said then is a warning.
 */
#ifndef DAEMON_ANNOUNCE_H
#define DAEMON_ANNOUNCE_H

#include "conf/conf.h"
#include "inline/inline.h"
#include "obs/stats.h"
#include "relay/relay.h"

void announce_start(const struct conf *conf);

/* The rest, when a generation is served. engine: NULL without inline; privileges: " key=value"
 * each. */
void announce_serving(const struct relay *relay, const struct inline_engine *engine,
		      const char *privileges);

void announce_stopped(const struct stats *stats);

#endif
