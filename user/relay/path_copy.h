/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path `copy`: recv() and send() through the worker's buffer. Where every connection
 * starts; no memory per idle connection.
 */
#ifndef RELAY_PATH_COPY_H
#define RELAY_PATH_COPY_H

#include "relay/session.h"

/* Move what can be moved. After RELAY_AGAIN either the source is drained (LEG_READABLE
 * off), or the target is full (LEG_WRITABLE off, flow->chunk holds the rest), or the turn
 * is over (flow->wake_us set). */
enum relay_result copy_move(struct session *session, enum way way);

/* Send what flow->chunk holds. Returns true when nothing is left. */
bool copy_flush(struct session *session, enum way way);

/* n bytes of flow->chunk were sent. */
void copy_sent(struct flow *flow, uint32_t n);

/* Keep n bytes for later behind what flow->chunk holds. 0 or -ENOMEM. */
int copy_keep(struct flow *flow, const uint8_t *data, uint32_t n);
/* The same, before it. */
int copy_keep_before(struct flow *flow, const uint8_t *data, uint32_t n);

/* n more bytes were taken from the source by recv(). */
void copy_count(struct session *session, enum way way, uint32_t n);

#endif
