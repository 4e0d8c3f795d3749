/* SPDX-License-Identifier: BSD-2-Clause */
/* What this process may use of the host. */
#ifndef DAEMON_CAPACITY_H
#define DAEMON_CAPACITY_H

#include <stdint.h>

#include "conf/conf.h"
#include "relay/relay.h"

/* As many connections as are wanted, and there are descriptors for, two each. Raises the limit
 * of descriptors as far as it may, and says so where that is too little. */
uint32_t capacity_connections(const struct conf *conf);

/* How many workers and connections there will be. */
void capacity_plan(struct relay *relay, const struct conf *conf);

#endif
