// SPDX-License-Identifier: BSD-2-Clause
/*
 * Read until the header is whole; what was read behind it is the flow's first chunk, so
 * not one byte more than the header is taken off the stream.
 */
#include "relay/header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/socket.h"
#include "client/reason.h"
#include "deny/deny.h"
#include "obs/log.h"
#include "relay/listener.h"
#include "relay/path_copy.h"
#include "relay/path_kernel.h"
#include "relay/record.h"
#include "unproxy/proxy_header.h"

/* The first read: header and first request of nearly everybody, and no more than may
 * have to be kept while the backend is being connected. */
#define FIRST_READ 16384

static enum session_state refuse(struct session *session, enum up_reason reason, const char *hint)
{
	record_refused(session, reason, hint);
	return SESSION_CLOSED;
}

/* Between the listener's two kinds of clients the signature decides. */
static bool is_plain_client(const struct session *session, const struct up_header *header)
{
	return session->rules->conf->header == CONF_HEADER_OPTIONAL &&
	       header->reason == UP_REASON_NO_HEADER;
}

static int keep_tlvs(struct session *session, const uint8_t *bytes, const struct up_header *header)
{
	if (!header->tlv_len)
		return 0;
	session->tlvs = malloc(header->tlv_len);
	if (!session->tlvs)
		return -ENOMEM;
	memcpy(session->tlvs, bytes + header->tlv_at, header->tlv_len);
	session->tlv_len = (uint16_t)header->tlv_len;
	return 0;
}

/* A header that names nobody is the balancer's own: its health checks are not a client's. */
static bool is_denied(const struct session *session, const struct up_header *header)
{
	if (header->version && !header->has_addr)
		return false;
	return deny_refuses(session->worker->relay->deny, session->client.ip);
}

/* The header is known (len 0: a plain client): bytes[len..n) is payload. */
static enum session_state adopt(struct session *session, const uint8_t *bytes, uint32_t n,
				const struct up_header *header)
{
	struct flow *up = flow_of(session, UP);
	uint32_t rest = n - header->len;
	struct chunk *old = up->chunk;
	int err;

	session->header_us = (uint32_t)(loop_now(session->worker->loop) - session->accepted_us);
	session->header_len = header->len;
	session->version = header->version;
	session->command = header->command;
	session->stacked = up_header_begins(bytes + header->len, rest);
	stats_add(&session->worker->counts.headers[header->version][header->command], 1);
	stats_time(&session->worker->counts.header_us, session->header_us);
	if (header->has_addr) {
		session->client = header->src;
		session->destination = header->dst;
	}
	kernel_header_consumed(session, header->len);
	err = keep_tlvs(session, bytes, header);
	up->chunk = NULL;
	if (!err && rest) {
		flow_copied(session, UP, rest);
		err = copy_keep(up, bytes + header->len, rest);
	}
	free(old); /* bytes may lie in it */
	if (err)
		return refuse(session, UP_REASON_NO_RESOURCES, NULL);
	if (is_denied(session, header))
		return refuse(session, UP_REASON_DENIED, NULL);
	return SESSION_CONNECT;
}

/* Keep a part of a header until the rest is here, with room for what is known to come. */
static enum session_state await_rest(struct session *session, const uint8_t *bytes, uint32_t n,
				     const struct up_header *header)
{
	uint32_t size = header->need > n ? header->need : UP_HEADER_V1_MAX;
	struct flow *up = flow_of(session, UP);
	struct chunk *chunk = up->chunk;

	if (chunk && chunk->size >= size) {
		chunk->len = n;
		return SESSION_HEADER;
	}
	chunk = malloc(sizeof(*chunk) + size);
	if (!chunk)
		return refuse(session, UP_REASON_NO_RESOURCES, NULL);
	*chunk = (struct chunk){ .len = n, .size = size };
	memcpy(chunk->data, bytes, n);
	free(up->chunk);
	up->chunk = chunk;
	return SESSION_HEADER;
}

static enum session_state judge(struct session *session, const uint8_t *bytes, uint32_t n)
{
	const struct conf_listener *conf = session->rules->conf;
	struct up_header_limits limits = {
		.max_len = conf->header_max,
		.flags = conf->v1_ipv4_in_tcp6 ? UP_HEADER_V1_IPV4_IN_TCP6 : 0,
	};
	struct up_header header;

	switch (up_header_parse(bytes, n, &limits, &header)) {
	case UP_HEADER_COMPLETE:
		return adopt(session, bytes, n, &header);
	case UP_HEADER_INCOMPLETE:
		return await_rest(session, bytes, n, &header);
	case UP_HEADER_INVALID:
		break;
	}
	if (is_plain_client(session, &header)) {
		struct up_header none = { 0 };

		return adopt(session, bytes, n, &none);
	}
	return refuse(session, header.reason, reason_hint_for(header.reason, bytes, n));
}

static enum session_state ended(struct session *session, int err)
{
	const struct chunk *part = session->flows[UP].chunk;

	if (!part) {
		session->reason = up_reason_name(UP_REASON_EMPTY);
		record_probe(session, STATS_PROBE_EMPTY);
		return SESSION_CLOSED;
	}
	return refuse(session, err ? UP_REASON_RESET : UP_REASON_TRUNCATED, NULL);
}

/* recv(), or what io_uring brought in its place. */
static ssize_t receive(struct session *session, uint8_t *into, uint32_t room)
{
	const struct leg *front = &session->legs[FRONT];
	struct uring_bytes *arrived = session->worker->arrived;
	uint32_t n;

	if (!arrived && !(front->flags & LEG_URING))
		return recv(front->source.fd, into, room, MSG_DONTWAIT);
	n = arrived && arrived->len < room ? arrived->len : room;
	if (!arrived || !n) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(into, arrived->data, n);
	arrived->data += n;
	arrived->len -= n;
	return n;
}

/* One read and its judgement. */
static enum session_state read_once(struct session *session)
{
	struct leg *front = &session->legs[FRONT];
	struct chunk *part = session->flows[UP].chunk;
	uint8_t *into = part ? part->data + part->len : session->worker->buffer;
	uint32_t room = part ? part->size - part->len : FIRST_READ;
	ssize_t got = receive(session, into, room);

	if (got < 0 && errno == EINTR)
		return SESSION_HEADER;
	if (got < 0 && errno == EAGAIN) {
		front->flags &= (uint16_t)~LEG_READABLE;
		return SESSION_HEADER;
	}
	if (got < 0)
		return ended(session, errno);
	if (got == 0) /* an error is told once: whoever met it marked the leg */
		return ended(session, front->flags & LEG_DEAD ? front->error : 0);
	if ((size_t)got < room && !(front->flags & (LEG_DRAIN | LEG_HUP)))
		front->flags &= (uint16_t)~LEG_READABLE; /* more would be a new edge */
	if (part)
		return judge(session, part->data, part->len + (uint32_t)got);
	return judge(session, session->worker->buffer, (uint32_t)got);
}

enum session_state header_step(struct session *session)
{
	/* untrusted = pass: nothing that a stranger says is ever a header. */
	if (session->plain) {
		struct up_header none = { 0 };

		return adopt(session, session->worker->buffer, 0, &none);
	}
	/* The rest of a header may be here already: its edge comes only once. */
	while (session->legs[FRONT].flags & LEG_READABLE) {
		enum session_state next = read_once(session);

		if (next != SESSION_HEADER)
			return next;
	}
	return SESSION_HEADER;
}

void header_timeout(struct session *session)
{
	const struct conf_listener *conf = session->rules->conf;

	/* A plain client may be waiting for the server to speak first. */
	if (conf->header == CONF_HEADER_OPTIONAL && !session->flows[UP].chunk) {
		session->plain = true;
		session_run(session);
		return;
	}
	(void)refuse(session, UP_REASON_TIMEOUT, NULL);
	session_close(session);
}
