/* SPDX-License-Identifier: BSD-2-Clause */
/* How many connections the table has, and of whom: a walk over it, never too often. */
#ifndef INLINE_FIGURES_H
#define INLINE_FIGURES_H

#include <stdint.h>

#include "inline/events.h"
#include "kern/hook.h"
#include "kern/inline.h"

struct figures {
	uint64_t used;        /* entries of the table, those that linger too */
	uint64_t connections; /* open ones */
	uint64_t *of;         /* ... of each of the policy's listeners */
	size_t n_of;
	uint64_t next_us; /* CLOCK_MONOTONIC: not before */
};

/* All of the engine, after a walk unless the last was just now; hook: NULL if there is none. */
void figures_tell(struct figures *figures, struct events *events, const struct kern_inline *kern,
		  const struct kern_hook *hook, struct stats *ret);

/* Of the listener of ret's name, as the last walk saw it. */
void figures_of_listener(const struct figures *figures, const struct events *events,
			 struct stats_listener *ret);

void figures_free(struct figures *figures);

#endif
