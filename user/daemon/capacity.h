/* SPDX-License-Identifier: BSD-2-Clause */
/* What this process may use of the host. */
#ifndef DAEMON_CAPACITY_H
#define DAEMON_CAPACITY_H

#include <stdint.h>

#include "conf/conf.h"
#include "relay/relay.h"

/* How many connections there are descriptors for, two each; their limit is raised as far as it may be. */
uint32_t capacity_room(void);

/* As many connections as are wanted, and there is room for; says so where that is less. */
uint32_t capacity_connections(const struct conf *conf);

/* How many workers and connections there will be. */
void capacity_plan(struct relay *relay, const struct conf *conf);

#endif
