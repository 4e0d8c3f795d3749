// SPDX-License-Identifier: BSD-2-Clause
#include "relay/path_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/socket.h"

/* Reads in a row before other connections get their turn. */
#define COPY_ROUNDS 16

/* A read of so many bytes is bulk by itself; a byte of a smaller one answers so many. */
#define BULK_READ 16384
#define BULK_DIALOGUE 16

/* send() as far as it goes. Returns bytes sent; a dead target takes everything: there is
 * nobody to read it, and the session ends by the leg's death. */
static uint32_t send_some(struct leg *target, const uint8_t *data, uint32_t n, int flags)
{
	ssize_t sent = socket_send(target->source.fd, data, n, flags);

	if (sent >= 0) {
		if ((uint32_t)sent < n)
			leg_full(target, 0);
		return (uint32_t)sent;
	}
	if (socket_error_passes((int)-sent)) {
		leg_full(target, (int)-sent);
		return 0;
	}
	leg_died(target, (int)-sent);
	return n;
}

/* Keep n bytes, before or behind what is kept already. */
static int keep(struct flow *flow, const uint8_t *data, uint32_t n, bool before)
{
	struct chunk *old = flow->chunk;
	uint32_t kept = old ? old->len - old->at : 0;
	struct chunk *chunk;

	chunk = malloc(sizeof(*chunk) + kept + n);
	if (!chunk)
		return -ENOMEM;
	*chunk = (struct chunk){ .len = kept + n, .size = kept + n };
	if (kept)
		memcpy(chunk->data + (before ? n : 0), old->data + old->at, kept);
	memcpy(chunk->data + (before ? 0 : kept), data, n);
	free(old);
	flow->chunk = chunk;
	return 0;
}

int copy_keep(struct flow *flow, const uint8_t *data, uint32_t n)
{
	return keep(flow, data, n, false);
}

int copy_keep_before(struct flow *flow, const uint8_t *data, uint32_t n)
{
	return keep(flow, data, n, true);
}

void copy_sent(struct flow *flow, uint32_t n)
{
	flow->chunk->at += n;
	if (flow->chunk->at == flow->chunk->len)
		free(TAKE_PTR(flow->chunk));
}

bool copy_flush(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct leg *target = target_of(session, way);
	struct chunk *chunk = flow->chunk;

	if (flow->sending)
		return false;
	if (!chunk)
		return true;
	if (!(target->flags & LEG_WRITABLE))
		return false;
	copy_sent(flow, send_some(target, chunk->data + chunk->at, chunk->len - chunk->at, 0));
	return !flow->chunk;
}

/* After recv() gave less than asked: is the socket empty? With edge-triggered events the
 * answer must be right: a wrong yes would sleep for ever. */
static bool drained_by(const struct leg *source, ssize_t got)
{
	return got < RELAY_BUFFER && !(source->flags & (LEG_DRAIN | LEG_HUP | LEG_DEAD));
}

/*
 * Which flow is worth a bulk path? One that moves much in large reads, or in one direction
 * alone. A dialogue of small messages, however long, is cheapest here: so each small read
 * takes back from the other direction's count.
 */
void copy_count(struct session *session, enum way way, uint32_t got)
{
	struct flow *other = flow_of(session, way == UP ? DOWN : UP);
	uint64_t answered = (uint64_t)got * BULK_DIALOGUE;

	flow_copied(session, way, got);
	flow_of(session, way)->bulk += got;
	if (got < BULK_READ)
		other->bulk -= other->bulk < answered ? other->bulk : answered;
}

/* The source has sent its FIN: what is left of it goes out together with ours, one packet
 * less. copy_move() reads on to the end and session.c shuts the target down at once; a
 * corked segment cannot be forgotten. */
static int more_flag(const struct leg *source)
{
	return source->flags & LEG_HUP && !(source->flags & LEG_DEAD) ? MSG_MORE : 0;
}

enum relay_result copy_move(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct leg *source = source_of(session, way);
	struct leg *target = target_of(session, way);
	uint8_t *buffer = session->worker->buffer;

	if (!copy_flush(session, way))
		return RELAY_AGAIN;
	if (source->flags & LEG_ENDED)
		return RELAY_EOF;
	for (int round = 0; round < COPY_ROUNDS; round++) {
		uint32_t sent;
		ssize_t got;

		if ((source->flags & (LEG_READABLE | LEG_URING)) != LEG_READABLE)
			return RELAY_AGAIN;
		got = recv(source->source.fd, buffer, RELAY_BUFFER, MSG_DONTWAIT);
		if (got == 0)
			return RELAY_EOF;
		if (got < 0) {
			if (errno == EINTR)
				continue;
			source->flags &= (uint16_t)~LEG_READABLE;
			if (errno != EAGAIN)
				leg_died(source, errno);
			return RELAY_AGAIN;
		}
		copy_count(session, way, (uint32_t)got);
		if (drained_by(source, got))
			source->flags &= (uint16_t)~LEG_READABLE;
		sent = send_some(target, buffer, (uint32_t)got, more_flag(source));
		if (sent == (uint32_t)got)
			continue;
		if (copy_keep(flow, buffer + sent, (uint32_t)got - sent)) {
			session->reason = "out_of_memory";
			return RELAY_ERROR;
		}
		return RELAY_AGAIN;
	}
	flow->wake_us = 1; /* the edge was used up: come back after the others */
	return RELAY_AGAIN;
}
