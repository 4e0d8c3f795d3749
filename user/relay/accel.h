/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel path's state of one flow, shared by path_kernel.c and path_kernel_user.c. */
#ifndef RELAY_ACCEL_H
#define RELAY_ACCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "kern/kern.h"
#include "relay/session.h"

/* The direction goes back to the kernel when the target's queue is down to this; with more,
 * it would soon come back. */
#define RESUME_QUEUED (UP_ROOM_BASE / 2)

struct accel {
	struct kern_direction dir;
	uint64_t before;      /* flow->copied when the program took over */
	uint64_t written;     /* at the last look, to see progress */
	uint64_t progress_us; /* when it last grew */
	uint64_t seen;        /* by the program, at nudge()'s last look */
	uint32_t queued;      /* in the target, at the last look */
	uint32_t ahead;       /* bytes at the source's front that the target has already */
	uint32_t wait_us;
	uint8_t looks;    /* of nudge() since the kernel has the direction */
	bool ready;       /* user mode: nothing is left to move, as far as we know */
	bool kernel_mode; /* our side of the word: EPOLLIN is not watched */
	bool waiting;     /* user mode: for what was redirected, and for room */
};
/* One or two of them hang off each accelerated connection, idle ones included: with
 * malloc()'s own 8 bytes, 72 is the most that takes 80. */
_Static_assert(sizeof(struct accel) <= 72, "memory of an idle connection");

/* Kernel mode from here on: EPOLLIN is not watched. */
void accel_to_kernel(struct session *session, enum way way);

/* User mode from here on, waiting until what was redirected is written. */
void accel_to_user(struct session *session, enum way way);

/* The source ended: RELAY_EOF if every byte of it is with the target, RELAY_AGAIN while it
 * may still get there, RELAY_ERROR if it did not. */
enum relay_result accel_finish(struct session *session, enum way way);

/* Look again later; each time later, until the caller sets wait_us to 0. */
enum relay_result accel_wait(struct flow *flow);

/* User mode: move what the kernel kept for us, and give the direction back. */
enum relay_result accel_move_kept(struct session *session, enum way way);

/* Kernel mode, just begun: see that the sender goes on. */
enum relay_result accel_nudge(struct session *session, enum way way);

#endif
