/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The app of tcp_fuzz: plain listening sockets, and for each connection the step its plan
 * says. What it reads is held against the client's stream, byte by byte.
 */
#ifndef FUZZ_APP_H
#define FUZZ_APP_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz_conn.h"

static inline int listen_one(bool v6)
{
	struct sockaddr_in6 sa6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons((uint16_t)fuzz.options.app_port) };
	struct sockaddr_in sa4 = { .sin_family = AF_INET, .sin_port = sa6.sin6_port };
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
	    one = 1;

	memcpy(&sa6.sin6_addr, fuzz.options.wire.host[1], 16);
	memcpy(&sa4.sin_addr, fuzz.options.wire.host[0], 4);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	if (!fuzz.options.strips) /* must not matter: unproxy takes the cookie requests out */
		setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &(int){ 16 }, sizeof(int));
	if (bind(fd, v6 ? (struct sockaddr *)&sa6 : (struct sockaddr *)&sa4,
		 v6 ? sizeof(sa6) : sizeof(sa4)) < 0 ||
	    listen(fd, 4096) < 0)
		return -1;
	return fd;
}

static inline int listen_all(void)
{
	fuzz.listeners[0] = listen_one(false);
	fuzz.listeners[1] = listen_one(true);
	return fuzz.listeners[0] < 0 || fuzz.listeners[1] < 0 ? -1 : 0;
}

/* With the address hook, accept() has to show the header's client as far as the family can. */
static inline void check_client(struct conn *c, const struct sockaddr_storage *ss)
{
	const struct header *h = &c->header;
	const struct wire *w = &fuzz.options.wire;
	uint8_t want[16] = { [10] = 0xff, [11] = 0xff };

	if (!fuzz.options.hook)
		return;
	if (ss->ss_family == AF_INET) {
		bool shown = h->names_client && !h->client_v6;

		if (memcmp(&((const struct sockaddr_in *)ss)->sin_addr,
			   shown ? h->client : w->remote[0], 4))
			wrong(c, "accept() shows another client");
		return;
	}
	if (h->names_client && !h->client_v6)
		memcpy(want + 12, h->client, 4);
	else
		memcpy(want, h->names_client ? h->client : w->remote[1], 16);
	if (memcmp(&((const struct sockaddr_in6 *)ss)->sin6_addr, want, 16))
		wrong(c, "accept() shows another client");
}

static inline void accept_one(bool v6, int fd, const struct sockaddr_storage *ss)
{
	/* Both kinds of address have the port in one place, and a header names the client by the port it comes from. */
	uint16_t port = ntohs(((const struct sockaddr_in *)ss)->sin_port);
	struct conn *c = fuzz.by_port[v6][port];

	if (!c) {
		fprintf(stderr,
			"tcp_fuzz: WRONG: accept() of a connection that is refused or over, from "
			"port %u (IPv%d, seed %llu)\n",
			port, v6 ? 6 : 4, (unsigned long long)fuzz.options.seed);
		_exit(1);
	}
	trace_add(c, 'A', NULL, "accept()");
	if (c->fate >= FATE_BAD)
		wrong(c, "the app is shown a connection that was to be refused");
	if (c->app.accepted)
		wrong(c, "accepted twice");
	check_client(c, ss);
	c->app.accepted = true;
	c->app.fd = fd;
}

static inline void accept_all(void)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		int fd;

		while ((fd = accept4(fuzz.listeners[v6], (struct sockaddr *)&ss, &len,
				     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
			accept_one(v6, fd, &ss);
			len = sizeof(ss);
		}
	}
}

static inline void app_gone(struct conn *c)
{
	trace_add(c, 'A', NULL, "the app's socket is reset");
	c->app.reset = true;
	close(c->app.fd);
	c->app.fd = -1;
	if (c->fate != FATE_CLIENT_RST || !c->rst_sent)
		wrong(c, "the app's socket is reset: %s", strerror(errno));
}

static inline void app_check(struct conn *c, const uint8_t *data, size_t len)
{
	static uint8_t want[PACKET_MAX];
	uint64_t from = fuzz.options.strips ? 0 : c->header.len;

	up_fill(c, (int64_t)(from + c->app.got), want, len);
	for (size_t i = 0; i < len; i++)
		if (want[i] != data[i])
			wrong(c, "the app reads a wrong byte at %llu: %02x, not %02x",
			      (unsigned long long)(c->app.got + i), data[i], want[i]);
	c->app.got += len;
}

static inline bool app_read(struct conn *c)
{
	static uint8_t data[32768];
	size_t most = 1 + draw(&c->random, chance(&c->random, 200) ? sizeof(data) : 3000);
	uint64_t all = c->data_len + (fuzz.options.strips ? c->header.len : 0);
	ssize_t n;

	if (c->app.eof)
		return false;
	n = recv(c->app.fd, data, most, 0);
	if (n > 0)
		app_check(c, data, (size_t)n);
	if (n == 0) {
		trace_add(c, 'A', NULL, "the app reads EOF");
		c->app.eof = true;
		if (c->app.got != all || c->fate != FATE_FINISH)
			wrong(c, "CLEAN EOF OVER MISSING BYTES: %llu of %llu",
			      (unsigned long long)c->app.got, (unsigned long long)all);
	}
	if (n < 0 && errno != EAGAIN)
		app_gone(c);
	return n >= 0;
}

static inline bool app_write(struct conn *c)
{
	static uint8_t data[8192];
	uint64_t end = c->fate == FATE_APP_RST ? c->abort_at : c->app_len, left = end - c->app.sent;
	size_t len = left < sizeof(data) ? (size_t)left : sizeof(data);
	ssize_t n;

	if (!left || c->app.fd < 0)
		return false;
	len = 1 + draw(&c->random, len);
	stream_fill(c->app_seed, c->app.sent, data, len);
	n = send(c->app.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		c->app.sent += (uint64_t)n;
	else if (errno != EAGAIN)
		app_gone(c);
	return n > 0;
}

static inline void app_finish(struct conn *c)
{
	if (c->fate == FATE_APP_RST && c->app.sent == c->abort_at) {
		setsockopt(c->app.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
			   sizeof(struct linger));
		close(c->app.fd);
		c->app.fd = -1;
		trace_add(c, 'A', NULL, "the app resets");
	} else if (!c->app.finished && c->app.sent == c->app_len &&
		   (!c->app_waits_eof || c->app.eof)) {
		c->app.finished = true;
		shutdown(c->app.fd, SHUT_WR);
		trace_add(c, 'A', NULL, "the app closes its half");
	}
	if (c->app.fd >= 0 && c->app.finished && c->app.eof) {
		close(c->app.fd);
		c->app.fd = -1;
	}
}

/* Returns whether it did anything. */
static inline bool app_step(struct conn *c)
{
	bool any = false;

	if (c->app.fd < 0)
		return false;
	if (chance(&c->random, 600))
		any = app_read(c);
	if (c->app.fd >= 0 && chance(&c->random, 500))
		any |= app_write(c);
	if (c->app.fd >= 0)
		app_finish(c);
	return any;
}

#endif
