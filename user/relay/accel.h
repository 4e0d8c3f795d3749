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
	uint64_t progress_us; /* when `written` last grew */
	/* What the last look found, to see whether anything moves: the low bits do. */
	union {
		uint32_t queued;  /* user mode: bytes in the target */
		uint32_t written; /* the source ended: bytes in the target or beyond */
	};
	uint32_t ahead; /* bytes at the source's front that the target has already */
	uint32_t wait_us;
	bool ready : 1;       /* user mode: nothing is left to move, as far as we know */
	bool kernel_mode : 1; /* our side of the word: EPOLLIN is not watched */
	bool waiting : 1;     /* user mode: for what was redirected, and for room */
};
/* With malloc()'s own 8 bytes, 88 is the most that takes 96: 480 with the session's. */
_Static_assert(2 * sizeof(struct accel) <= 88, "memory of an idle connection");

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

/* Kernel mode: see that the sender can go on. */
enum relay_result accel_open_window(struct session *session, enum way way);

#endif
