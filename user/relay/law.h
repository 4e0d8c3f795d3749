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

/* Was this leg reset, or did it end with a FIN? For an open leg of which recv() says that it
 * ended: the kernel's worker may have met the error first, and nobody is told twice. */
bool law_is_reset(const struct leg *leg);

/* Bytes in the target's send queue, unacknowledged ones included; 0 on error. */
uint32_t law_queued(const struct leg *target);

#endif
