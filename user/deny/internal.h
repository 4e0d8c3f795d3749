/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of deny/ alone. */
#ifndef DENY_INTERNAL_H
#define DENY_INTERNAL_H

#include <pthread.h>

#include "client/deny_set.h"
#include "deny/deny.h"
#include "kern/deny.h"

/* The set is written by the main thread alone, which needs no lock to read it. */
struct deny {
	pthread_rwlock_t lock;
	struct deny_set *set;
	size_t count;              /* atomic: of the set; nothing to look up, no lock */
	uint64_t lookups, refused; /* atomic */
	struct kern_deny *kern;    /* NULL: memory alone */
	struct kern_deny *lent;    /* ... while another daemon may take it over */
	struct loop *loop;
	struct loop_timer tick;
	size_t sweep_at; /* behind the next entry to look at */
	uint32_t room;
	bool needs_kernel;
	const char *pin_root;
	uint64_t claims[DENY_SOURCES];
};

uint64_t deny_now_ns(void); /* CLOCK_BOOTTIME */

/* Wall clock to CLOCK_BOOTTIME, which nobody sets: at the time it is called. 0 is for ever, in
 * both. False: it is over. */
bool deny_until_ns(uint64_t until_us, uint64_t *ret_ns);
uint64_t deny_until_us(uint64_t until_ns);

/* Have the kernel say what fresh says in place of old. */
void deny_tell_all(struct kern_deny *kern, const struct deny_set *old,
		   const struct deny_set *fresh);

/* Look at so many entries, the next ones each time, and remove what has expired. */
void deny_sweep(struct deny *deny, size_t n);

#endif
