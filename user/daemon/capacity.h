/* SPDX-License-Identifier: BSD-2-Clause */
/* What this process may use of the host. */
#ifndef DAEMON_CAPACITY_H
#define DAEMON_CAPACITY_H

#include <stdint.h>

#include "conf/conf.h"

/* Processors that it may run on. */
unsigned capacity_cpus(void);

/* As many connections as are wanted, and there are descriptors for, two each. Raises the limit
 * of descriptors as far as it may, and says so where that is too little. */
uint32_t capacity_connections(const struct conf *conf);

#endif
