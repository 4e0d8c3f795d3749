// SPDX-License-Identifier: BSD-2-Clause
#include "relay/connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/outcome.h"
#include "base/cleanup.h"
#include "base/socket.h"
#include "client/header_write.h"
#include "obs/log.h"
#include "relay/listener.h"
#include "relay/path_copy.h"
#include "relay/path_kernel.h"
#include "relay/path_uring.h"
#include "relay/record.h"
#include "unproxy/reason.h"

/* client_address = proxy-v1, proxy-v2: a header of ours goes first. 0 or -errno. */
static int write_header(struct session *session)
{
	const struct conf_backend *conf = session->rules->conf->backend;
	struct flow *up = flow_of(session, UP);
	struct header_write header = {
		.command = session->version ? session->command : UP_COMMAND_PROXY,
		.dst = session->destination,
		.tlvs = session->tlvs,
		.tlv_len = session->tlv_len,
	};
	struct chunk *early;
	uint8_t *bytes = session->worker->buffer;
	int len;

	if (conf->client_address != CONF_CLIENT_PROXY_V1 &&
	    conf->client_address != CONF_CLIENT_PROXY_V2)
		return 0;
	/* LOCAL, UNKNOWN: passed on as such. A plain client is its own source. */
	if (!session->version)
		record_own_address(session, &header.dst);
	if (!session->version || session->destination.family)
		header.src = session->client;
	if (conf->client_address == CONF_CLIENT_PROXY_V1)
		len = header_write_v1(&header, bytes, RELAY_BUFFER);
	else
		len = header_write_v2(&header, bytes, RELAY_BUFFER);
	if (len < 0)
		return len;
	session->written_header = (uint32_t)len;
	early = TAKE_PTR(up->chunk);
	if (copy_keep(up, bytes, (uint32_t)len) ||
	    (early && copy_keep(up, early->data + early->at, early->len - early->at))) {
		free(early);
		return -ENOMEM;
	}
	free(early);
	return 0;
}

static uint64_t now_ms(const struct session *session)
{
	return loop_now(session->worker->loop) / 1000;
}

/* The server refused, or did not answer: let it rest, forget its socket. */
static void server_failed(struct session *session, int err)
{
	struct pool *pool = session->rules->pool;
	struct leg *back = &session->legs[BACK];

	outcome_down(pool, session->server, session->rules->conf->backend->name, now_ms(session),
		     err);
	pool_release(pool, session->server);
	session->server = -1;
	back->source.fn = NULL;
	if (back->source.fd >= 0)
		(void)close(back->source.fd);
	back->source.fd = -1;
	back->flags = 0;
}

static enum session_state give_up(struct session *session, enum up_reason reason)
{
	uint32_t unsaid = 0;

	if (reason == UP_REASON_NO_BACKEND)
		unsaid = pool_none(session->rules->pool, now_ms(session));
	if (unsaid)
		log_warn("backend.none backend=%s listener=%s connections=%u action=reset",
			 session->rules->conf->backend->name, session->rules->conf->name, unsaid);
	record_refused(session, reason, NULL);
	return SESSION_CLOSED;
}

static enum session_state connected(struct session *session)
{
	outcome_up(session->rules->pool, session->server, session->rules->conf->backend->name);
	free(session->tried);
	session->tried = NULL;
	loop_timer_cancel(session->worker->loop, &session->timer);
	session->connect_us = (uint32_t)(loop_now(session->worker->loop) - session->accepted_us -
					 session->header_us);
	stats_time(&session->worker->counts.connect_us, session->connect_us);
	record_started(session);
	return SESSION_RELAY;
}

enum attempt { CONNECTED, CONNECTING, FAILED };

/* Send the early data at once: to a server on this host the handshake is done when
 * connect() returns, and a round of events is saved. */
static enum attempt send_early(struct session *session)
{
	struct flow *up = flow_of(session, UP);
	struct leg *back = &session->legs[BACK];
	struct chunk *chunk = up->chunk;
	ssize_t sent;

	if (!chunk || !uring_path_send_early(session))
		return CONNECTING;
	sent = socket_send(back->source.fd, chunk->data + chunk->at, chunk->len - chunk->at, 0);
	if (sent == -EAGAIN)
		return CONNECTING; /* SYN_SENT: nothing was taken */
	if (sent < 0) {
		back->error = (int16_t)-sent;
		return FAILED;
	}
	copy_sent(up, (uint32_t)sent);
	if (!up->chunk)
		back->flags |= LEG_WRITABLE;
	return CONNECTED;
}

/* A socket on its way to the server; client_address = hook: with the client's name on it. */
static int open_back(struct session *session)
{
	const struct up_addr *addr = pool_addr(session->rules->pool, session->server);
	struct kern_hook *hook = __atomic_load_n(&session->worker->relay->hook, __ATOMIC_ACQUIRE);
	_cleanup_close_ int fd = socket_for(addr);
	struct up_intent *intent = NULL;
	uint64_t cookie = 0;
	int err;

	if (fd < 0)
		return fd;
	if (hook && session->rules->conf->backend->client_address == CONF_CLIENT_HOOK) {
		cookie = socket_cookie(fd);
		intent = kern_hook_announce(hook, cookie, &session->client);
	}
	err = socket_start(fd, addr, session->flows[UP].chunk != NULL);
	kern_hook_hush(intent, cookie);
	return err ? err : take_fd(&fd);
}

static enum attempt attempt(struct session *session)
{
	struct leg *back = &session->legs[BACK];
	int fd = open_back(session);

	back->flags = 0;
	if (fd < 0) {
		back->error = (int16_t)-fd;
		return FAILED;
	}
	back->source = (struct loop_source){ .fd = fd };
	(void)socket_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	(void)socket_set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	(void)socket_set_loud(fd, true);
	return send_early(session);
}

/* Connect to the next server that may be tried. */
static enum session_state connect_next(struct session *session)
{
	uint32_t timeout_ms = session->rules->conf->backend->connect_timeout_ms;
	struct pool *pool = session->rules->pool;

	for (;;) {
		int server = pool_pick(pool, session->tried, now_ms(session));

		if (server < 0)
			return give_up(session, UP_REASON_NO_BACKEND);
		session->server = (int16_t)server;
		switch (attempt(session)) {
		case CONNECTED:
			return connected(session);
		case CONNECTING:
			if (loop_timer_arm(session->worker->loop, &session->timer,
					   (uint64_t)timeout_ms * 1000))
				return give_up(session, UP_REASON_NO_RESOURCES);
			return SESSION_CONNECT;
		case FAILED:
			if (socket_none_left(session->legs[BACK].error))
				return give_up(session, UP_REASON_NO_RESOURCES);
			server_failed(session, session->legs[BACK].error);
		}
	}
}

enum session_state connect_step(struct session *session)
{
	struct leg *back = &session->legs[BACK];

	if (session->legs[FRONT].flags & LEG_DEAD) {
		record_refused(session, UP_REASON_RESET, NULL);
		return SESSION_CLOSED;
	}
	if (!session->tried) {
		session->tried = calloc(1, sizeof(*session->tried));
		if (!session->tried || write_header(session))
			return give_up(session, UP_REASON_NO_RESOURCES);
	}
	if (session->early)
		return SESSION_CONNECT;
	if (back->source.fd < 0)
		return connect_next(session);
	if (back->flags & LEG_DEAD) {
		server_failed(session, back->error);
		return connect_next(session);
	}
	if (back->flags & LEG_HUP) /* connected and closed: it may have said something */
		return connected(session);
	return back->flags & LEG_WRITABLE ? connected(session) : SESSION_CONNECT;
}

void connect_timeout(struct session *session)
{
	leg_died(&session->legs[BACK], ETIMEDOUT);
	session_run(session);
}
