/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conservation law: bytes received on one side, minus the header, equal bytes written
 * on the other. From TCP's own counters, whoever moved the bytes.
 */
#ifndef RELAY_LAW_H
#define RELAY_LAW_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/session.h"

/* Payload bytes the source has received in order, unread ones included. 0 or -errno. */
int law_received(const struct session *session, enum way way, uint64_t *ret);

/* Payload bytes that are in the target's send queue or beyond; never more than true, and
 * exact when nothing is acknowledged meanwhile. 0 or -errno. */
int law_written(const struct session *session, enum way way, uint64_t *ret);

/* Was the source of this flow reset, though it looks like an end? An error is told once, and
 * whoever met it first may not have been our recv(): the kernel's worker or io_uring that writes
 * to this source, a kick, a peek. So an end is believed only of a socket that is not closed; one
 * that we have shut down ourselves is closed by an end, too, and believed. */
bool law_hides_reset(const struct session *session, enum way way);

/* Bytes in the target's send queue, unacknowledged ones included; 0 on error. */
uint32_t law_queued(const struct leg *target);

#endif
