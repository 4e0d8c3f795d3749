/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a start and a stop say. A start is five lines, whatever the number of listeners:
 * start, kernel_path (or inline.on), hook, listeners.open, ready; six with both engines.
 * Whatever else is said then is a warning.
 */
#ifndef DAEMON_ANNOUNCE_H
#define DAEMON_ANNOUNCE_H

#include "conf/conf.h"
#include "kern/hook.h"
#include "obs/stats.h"
#include "relay/relay.h"

void announce_start(const struct conf *conf);

/* Each is NULL where the hook is off, or its engine is not used. */
void announce_hooks(const struct kern_hook *relay, const struct kern_hook *engine);

void announce_listeners(const struct conf *conf);

/* privileges: " key=value" each. */
void announce_ready(const struct relay *relay, const char *privileges);

void announce_stopped(const struct stats *stats);

#endif
