/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path `kernel`: the verdict program sends a direction's segments to the target without
 * user space. This file decides who moves the bytes, and proves at the end that all did.
 *
 *   kernel mode    the program redirects; user space watches for the end only
 *   user mode      the target had no room: what comes is kept for recv(), so TCP's own
 *                  window holds the sender back. User space waits until what was redirected
 *                  is written and the target has room, moves what is kept, and gives the
 *                  direction back.
 */
#ifndef RELAY_PATH_KERNEL_H
#define RELAY_PATH_KERNEL_H

#include "relay/session.h"
#include "takeover/record.h"

/* The header stage of `kernel_path = always`: the balancer's socket goes under the program
 * right after accept(). 0 or -errno (then the connection goes on without). */
int kernel_begin(struct session *session);

/* header_len bytes were read off a socket that kernel_begin() took. */
void kernel_header_consumed(struct session *session, uint32_t header_len);

/* Give a flow to the kernel. 0, or -errno: flow->kernel_refused is set. */
int kernel_promote(struct session *session, enum way way);

/* Move what is ours to move; watch for the end. */
enum relay_result kernel_move(struct session *session, enum way way);

/* Forget a flow's kernel state, and what the kernel moved. After close() of the source. */
void kernel_free(struct session *session, enum way way);

/* One that is told to another process which shares our maps, and made again there. While it
 * stands still its events are nobody's. */
void kernel_describe(const struct session *session, enum way way, struct handed_accel *ret);
int kernel_adopt(struct session *session, enum way way, const struct handed_accel *from);
void kernel_park(const struct session *session);
void kernel_unpark(const struct session *session);
/* The other process has it: our part alone is freed. */
void kernel_forget(struct session *session);

/* Add what the kernel has moved since the last time to the worker's counters. */
void kernel_count(struct session *session, enum way way);

/* The program handed a direction back. Context is the worker. */
void kernel_on_event(void *worker, const struct up_event *event);

/* Bound the memory of a bulk flow: what may wait in its source's receive buffer. */
void bulk_bound_source(struct session *session, enum way way);

#endif
