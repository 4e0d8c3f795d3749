/* SPDX-License-Identifier: BSD-2-Clause */
/* How many connections each source has on each listener. Used only where a limit is
 * configured, and only at accept and at the end: its lock is not on the data path. */
#ifndef RELAY_LIMITS_H
#define RELAY_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "unproxy/addr.h"

struct limits;

struct limits *limits_new(void); /* NULL: no memory */
void limits_free(struct limits *limits);

/* Count one more for (listener, source ip). 0, -EUSERS when `max` are there already, or
 * -ENOMEM. */
int limits_take(struct limits *limits, const void *listener, const struct up_addr *source,
		uint32_t max);
void limits_give(struct limits *limits, const void *listener, const struct up_addr *source);

#endif
