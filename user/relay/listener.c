// SPDX-License-Identifier: BSD-2-Clause
/* Accept: who may come in, and how many. What they send is header.c's. */
#include "relay/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/socket.h"
#include "client/reason.h"
#include "loop/uring.h"
#include "obs/log.h"
#include "relay/elsewhere.h"
#include "relay/limits.h"
#include "relay/places.h"
#include "relay/record.h"
#include "relay/session.h"

/* Connections per wake-up, so that one listener cannot starve the relaying. */
#define ACCEPT_BATCH 64

/* After EMFILE and its like: try again this much later. */
#define ACCEPT_AGAIN_US 100000
#define PAUSE_LOG_US (60 * 1000000ULL)

static int set_options(int fd, const struct conf_listener *conf)
{
	int err;

	/* Accepted sockets inherit all of them: no system call per connection. */
	err = socket_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!err) /* an urgent byte stays where it is in the stream */
		err = socket_set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	if (!err) /* also off again, by a reload */
		err = socket_set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
	if (!err)
		err = socket_set_keepalive(fd, conf->keepalive_s);
	if (!err)
		err = socket_set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)conf->user_timeout_ms);
	if (!err)
		err = socket_set_loud(fd, true);
	return err;
}

void listeners_pause(struct worker *worker, const char *why)
{
	__atomic_store_n(&worker->short_us, loop_now(worker->loop), __ATOMIC_RELAXED);
	if (!worker->accepting)
		return;
	stats_add(&worker->counts.accept_pauses, 1);
	if (!worker->pause_logged_us ||
	    loop_now(worker->loop) - worker->pause_logged_us > PAUSE_LOG_US) {
		worker->pause_logged_us = loop_now(worker->loop);
		log_warn("accept.paused worker=%u reason=\"%s\" action=\"new connections wait\"",
			 worker->index, why);
	}
	worker->accepting = false;
	for (struct list *item = worker->listeners.next; item != &worker->listeners;
	     item = item->next)
		listener_pause(container_of(item, struct listener, all));
	(void)loop_timer_arm(worker->loop, &worker->accept_again, ACCEPT_AGAIN_US);
}

/* May this one come in? Then a place is taken for it; on refusal: why. */
static enum up_reason admit(struct listener *listener, const struct up_addr *peer,
			    bool *ret_limited)
{
	const struct rules *rules = listener->rules;
	const struct conf_listener *conf = rules->conf;
	struct relay *relay = listener->worker->relay;
	int err;

	*ret_limited = false;
	if (conf->untrusted == CONF_UNTRUSTED_RESET && !trust_match(&conf->trust, peer))
		return UP_REASON_UNTRUSTED;
	if (!rules_take_place(relay, rules))
		return UP_REASON_CONNECTION_LIMIT;
	if (!conf->max_per_source)
		return UP_REASON_NONE;
	err = limits_take(relay->limits, rules->state, peer, conf->max_per_source);
	if (err) {
		rules_give_place(relay, rules);
		return err == -EUSERS ? UP_REASON_SOURCE_LIMIT : UP_REASON_NO_RESOURCES;
	}
	*ret_limited = true;
	return UP_REASON_NONE;
}

static void refuse(struct listener *listener, int fd, const struct up_addr *peer,
		   enum up_reason reason)
{
	record_refused_at_accept(listener, peer, reason);
	socket_reset(fd);
}

static void take(struct listener *listener, int fd, const struct up_addr *addr)
{
	struct relay *relay = listener->worker->relay;
	const struct rules *rules = listener->rules;
	struct up_addr peer = *addr;
	enum up_reason reason;
	bool limited;

	stats_add(&listener->worker->counts.accepted, 1);
	__atomic_fetch_add(&rules->state->accepted, 1, __ATOMIC_RELAXED);
	reason = admit(listener, &peer, &limited);
	if (reason != UP_REASON_NONE) {
		refuse(listener, fd, &peer, reason);
		return;
	}
	if (session_new(listener, fd, &peer, limited)) {
		if (limited)
			limits_give(relay->limits, rules->state, &peer);
		rules_give_place(relay, rules);
		refuse(listener, fd, &peer, UP_REASON_NO_RESOURCES);
	}
}

static bool is_full(const struct relay *relay)
{
	return __atomic_load_n(&relay->connections, __ATOMIC_RELAXED) >= relay->max_connections;
}

/* Accept one. Returns false when there is none, or none may come now. */
static bool accept_one(struct listener *listener)
{
	struct worker *worker = listener->worker;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct up_addr peer;
	int fd;

	if (is_full(worker->relay)) {
		listeners_pause(worker, "max_connections reached");
		return false;
	}
	fd = accept4(listener->source.fd, (struct sockaddr *)&sa, &len,
		     SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		addr_from_sockaddr(&peer, (struct sockaddr *)&sa);
		take(listener, fd, &peer);
		return true;
	}
	if (socket_none_left(errno))
		listeners_pause(worker, strerror(errno));
	/* Else there is none, or one died in the backlog: the next. */
	return errno != EAGAIN && !socket_none_left(errno);
}

/* io_uring may have taken a whole backlog by the time it is told to stop: it is left to it
 * while there is room for so many, so that seldom one has to be refused that could wait. */
static bool by_uring(const struct listener *listener)
{
	const struct relay *relay = listener->worker->relay;

	return loop_uring(listener->worker->loop) &&
	       __atomic_load_n(&relay->connections, __ATOMIC_RELAXED) +
			       listener->rules->conf->backlog <
		       relay->max_connections;
}

static void on_connections(struct loop_source *source, uint32_t events)
{
	struct listener *listener = container_of(source, struct listener, source);

	(void)events;
	listener_look(listener);
	if (listener->source.fn && by_uring(listener)) {
		listener_pause(listener);
		listener_resume(listener);
	}
}

static int watch(struct listener *listener)
{
	int err;

	listener->source.fn = on_connections;
	err = loop_add(listener->worker->loop, &listener->source, EPOLLIN);
	if (err)
		listener->source.fn = NULL;
	return err;
}

/* Who comes meanwhile waits in the backlog. */
static void watch_or_pause(struct listener *listener)
{
	int err = watch(listener);

	if (err)
		listeners_pause(listener->worker, strerror(-err));
}

static void leave_uring(struct listener *listener)
{
	if (listener->accepting && !listener->leaving)
		listener->leaving = !uring_cancel(loop_uring(listener->worker->loop),
						  &listener->accept);
}

/* Taken by io_uring, which does not tell from whom. */
static void take_arrived(struct listener *listener, int fd)
{
	struct up_addr peer;

	if (listener->worker->stopping || socket_peer(fd, listener->addr.family, &peer))
		socket_reset(fd);
	else
		take(listener, fd, &peer);
}

static void destroy(struct loop_deferred *deferred)
{
	listener_free(container_of(deferred, struct listener, deferred));
}

/* This socket's part of the listener's figures. */
static void set_backlog(struct listener *listener, uint32_t now, uint32_t max)
{
	struct listener_state *state = listener->rules->state;

	__atomic_fetch_add(&state->backlog, now - listener->backlog, __ATOMIC_RELAXED);
	__atomic_fetch_add(&state->backlog_max, max - listener->backlog_max, __ATOMIC_RELAXED);
	listener->backlog = now;
	listener->backlog_max = max;
}

void listener_see_backlog(struct listener *listener)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	/* Of a listening socket these two are its accept queue. */
	if (getsockopt(listener->source.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		set_backlog(listener, info.tcpi_unacked, info.tcpi_sacked);
}

static void count_open(struct listener *listener)
{
	__atomic_fetch_add(&listener->rules->state->n_open, 1, __ATOMIC_RELAXED);
	listener_see_backlog(listener);
}

static void count_closed(struct listener *listener)
{
	__atomic_fetch_sub(&listener->rules->state->n_open, 1, __ATOMIC_RELAXED);
	set_backlog(listener, 0, 0);
}

static void close_now(struct listener *listener)
{
	struct worker *worker = listener->worker;

	(void)close(listener->source.fd);
	listener->source.fd = -1;
	count_closed(listener);
	list_remove(&listener->all);
	generation_leave(listener->rules->generation, worker->index);
	listener->deferred.destroy = destroy;
	loop_defer(worker->loop, &listener->deferred);
}

/* Another process has the very socket, and takes what waits in it. */
static bool is_served_elsewhere(const struct listener *listener)
{
	const struct relay *relay = listener->worker->relay;

	for (size_t i = 0; i < relay->n_served; i++) {
		if (addr_equal(&relay->served[i], &listener->addr))
			return true;
	}
	return listener->shared; /* the service manager's next daemon */
}

/* io_uring's last word, after listener_close(). */
static void closed(struct listener *listener)
{
	struct worker *worker = listener->worker;

	listener->closing = false;
	while (!worker->stopping && !is_served_elsewhere(listener) && accept_one(listener))
		;
	close_now(listener);
	worker_count(worker, -1);
}

void listener_accepted(struct uring_op *op, int result, bool more)
{
	struct listener *listener = container_of(op, struct listener, accept);
	struct worker *worker = listener->worker;

	if (!more)
		listener->accepting = false;
	if (result >= 0)
		take_arrived(listener, result);
	else if (socket_none_left(-result))
		listeners_pause(worker, strerror(-result));
	if (!by_uring(listener))
		leave_uring(listener);
	if (more)
		return;
	if (listener->closing)
		closed(listener);
	else if (worker->accepting && result < 0 && result != -ECANCELED)
		watch_or_pause(listener); /* accept4() will meet the error, or was luckier */
	else if (worker->accepting)
		listener_resume(listener);
}

int listener_new(struct worker *worker, const struct rules *rules, const struct up_addr *addr,
		 size_t nth, struct listener **ret)
{
	bool shared;
	_cleanup_close_ int fd = elsewhere_take(worker->relay, addr, nth, &shared);
	struct listener *listener;
	int err;

	if (fd == -ENOENT)
		fd = socket_bind(addr);
	if (fd < 0)
		return fd;
	err = set_options(fd, rules->conf);
	if (err)
		return err;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	*listener = (struct listener){
		.source.fd = take_fd(&fd),
		.worker = worker,
		.rules = rules,
		.addr = *addr,
		.shared = shared,
	};
	list_init(&listener->all);
	*ret = listener;
	return 0;
}

int listener_listen(struct listener *listener)
{
	return listen(listener->source.fd, (int)listener->rules->conf->backlog) < 0 ? -errno : 0;
}

void listener_free(struct listener *listener)
{
	if (listener->source.fd >= 0)
		(void)close(listener->source.fd);
	free(listener);
}

void listener_free_all(struct list *listeners)
{
	while (!list_empty(listeners)) {
		struct listener *listener = container_of(listeners->next, struct listener, all);

		list_remove(&listener->all);
		listener_free(listener);
	}
}

void listener_begin(struct listener *listener)
{
	struct worker *worker = listener->worker;

	generation_enter(listener->rules->generation, worker->index);
	list_remove(&listener->all);
	list_append(&worker->listeners, &listener->all);
	count_open(listener);
	if (worker->accepting)
		listener_resume(listener);
}

void listener_switch(struct listener *listener, const struct rules *rules)
{
	const struct rules *before = listener->rules;

	/* What fails here held for the rules before, and does no harm. */
	(void)set_options(listener->source.fd, rules->conf);
	count_closed(listener);
	listener->rules = rules;
	(void)listener_listen(listener);
	count_open(listener);
	generation_enter(rules->generation, listener->worker->index);
	generation_leave(before->generation, listener->worker->index);
}

void listener_resume(struct listener *listener)
{
	struct uring *uring = loop_uring(listener->worker->loop);

	if (listener->accepting) /* paused just now: its last word comes back here */
		return;
	if (!by_uring(listener) || uring_accept(uring, &listener->accept, listener->source.fd)) {
		watch_or_pause(listener);
		return;
	}
	listener->accepting = true;
	listener->leaving = false;
}

void listener_look(struct listener *listener)
{
	for (int i = 0; i < ACCEPT_BATCH && listener->worker->accepting && accept_one(listener);
	     i++)
		;
}

void listener_pause(struct listener *listener)
{
	leave_uring(listener);
	if (listener->source.fn)
		loop_remove(listener->worker->loop, &listener->source);
}

void listener_close(struct listener *listener)
{
	struct worker *worker = listener->worker;
	bool served = is_served_elsewhere(listener);

	if (listener->source.fd < 0 || listener->closing)
		return;
	/* Those whose handshake is done would get a RST from close(). */
	while (worker->accepting && !served && accept_one(listener))
		;
	listener_pause(listener);
	if (!listener->accepting) {
		close_now(listener);
		return;
	}
	if (!listener->leaving && !served)
		(void)shutdown(listener->source.fd, SHUT_RD); /* ends the accept, too */
	listener->closing = true;
	worker_count(worker, 1); /* what io_uring has taken is still to come */
}
