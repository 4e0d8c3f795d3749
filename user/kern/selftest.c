// SPDX-License-Identifier: BSD-2-Clause
/*
 * The path, run once over loopback before anybody's bytes are trusted to it: data that was
 * there before the program, redirect, a stopped reader, a bare FIN at the end. Every byte
 * is compared by its position in the stream.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/socket.h"
#include "kern/kern.h"

#define PATIENCE_MS 2000
#define TARGET_SNDBUF (256 << 10)
/* A sender that got so much past a stopped reader has found no back-pressure. */
#define UNBOUNDED (64 << 20)

/* client -> [front -> back] -> server */
struct bench {
	int client, front, back, server;
	struct kern *kern;
	struct kern_direction dir;
	uint64_t sent, kept, received; /* bytes: by client, by us in user mode, by server */
	uint8_t buffer[65536];
};

static uint8_t byte_at(uint64_t position)
{
	return (uint8_t)(position * 167 + (position >> 8) * 13);
}

static int wait_for(int fd, short events)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	return poll(&poll_fd, 1, PATIENCE_MS) == 1 ? 0 : -ETIMEDOUT;
}

static int make_pair(int *ret_connected, int *ret_accepted)
{
	struct up_addr any = { .family = UP_FAMILY_IPV4 }, addr;
	_cleanup_close_ int listener = -1;
	_cleanup_close_ int connected = -1;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int accepted;

	any.ip[10] = any.ip[11] = 0xff;
	any.ip[12] = 127;
	any.ip[15] = 1;
	listener = socket_listen(&any, 1);
	if (listener < 0)
		return listener;
	if (getsockname(listener, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	addr_from_sockaddr(&addr, (struct sockaddr *)&sa);
	connected = socket_connect(&addr, false);
	if (connected < 0)
		return connected;
	if (wait_for(listener, POLLIN) || wait_for(connected, POLLOUT))
		return -ETIMEDOUT;
	accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (accepted < 0)
		return -errno;
	*ret_connected = take_fd(&connected);
	*ret_accepted = accepted;
	return 0;
}

static void bench_close(struct bench *bench)
{
	int fds[] = { bench->client, bench->front, bench->back, bench->server };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	kern_direction_free(bench->kern, &bench->dir);
}

/* Send what fits, at most n bytes. Returns how many, 0 when the socket is full. */
static size_t client_send(struct bench *bench, size_t n)
{
	ssize_t sent;

	if (n > sizeof(bench->buffer))
		n = sizeof(bench->buffer);
	for (size_t i = 0; i < n; i++)
		bench->buffer[i] = byte_at(bench->sent + i);
	sent = send(bench->client, bench->buffer, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent <= 0)
		return 0;
	bench->sent += (uint64_t)sent;
	return (size_t)sent;
}

/* Read at the server and compare. Returns bytes, 0 at the end, -EAGAIN, -EBADMSG. */
static ssize_t server_read(struct bench *bench)
{
	ssize_t got = recv(bench->server, bench->buffer, sizeof(bench->buffer), MSG_DONTWAIT);

	if (got < 0)
		return -errno;
	for (ssize_t i = 0; i < got; i++) {
		if (bench->buffer[i] != byte_at(bench->received + (uint64_t)i))
			return -EBADMSG;
	}
	bench->received += (uint64_t)got;
	return got;
}

/* In user mode: move one buffer of what the program passed up; when there is no more, give
 * the direction back. The server is empty by then, so send() takes it whole. */
static int move_kept(struct bench *bench)
{
	ssize_t got = recv(bench->front, bench->buffer, sizeof(bench->buffer), MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN) {
		(void)kern_direction_resume(&bench->dir, bench->kept);
		return 0;
	}
	if (got <= 0)
		return -EIO;
	if (send(bench->back, bench->buffer, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL) != got)
		return -errno;
	bench->kept += (uint64_t)got;
	return 0;
}

/* Read at the server until it has everything the client sent. */
static int catch_up(struct bench *bench)
{
	while (bench->received < bench->sent) {
		ssize_t got = server_read(bench);

		if (got > 0)
			continue;
		if (got != -EAGAIN)
			return got ? (int)got : -EPIPE;
		if (kern_direction_user(&bench->dir) &&
		    bench->received == kern_direction_redirected(&bench->dir) + bench->kept) {
			int err = move_kept(bench); /* the redirected part is out */

			if (err)
				return err;
		} else if (wait_for(bench->server, POLLIN)) {
			return -ETIMEDOUT;
		}
	}
	return 0;
}

static int step_early_data(struct bench *bench)
{
	struct kern_source source = { .fd = bench->front, .token = 1, .stage = UP_STAGE_STREAM };
	int err;

	(void)client_send(bench, 133);
	if (wait_for(bench->front, POLLIN))
		return -ETIMEDOUT;
	err = kern_direction_new(bench->kern, &source, &bench->dir);
	if (!err)
		err = kern_direction_target(bench->kern, &bench->dir, bench->back);
	if (!err)
		err = kern_direction_start(bench->kern, &bench->dir, bench->front);
	if (!err)
		err = catch_up(bench);
	if (!err)
		err = move_kept(bench); /* nothing is left: the kernel takes over */
	return !err && kern_direction_user(&bench->dir) ? -EBUSY : err;
}

static int step_redirect(struct bench *bench)
{
	(void)client_send(bench, sizeof(bench->buffer));
	if (catch_up(bench))
		return -EIO;
	return kern_direction_redirected(&bench->dir) > 0 ? 0 : -ENOLINK;
}

static int step_back_pressure(struct bench *bench)
{
	while (bench->sent < UNBOUNDED) {
		if (!client_send(bench, sizeof(bench->buffer)))
			break;
	}
	if (bench->sent >= UNBOUNDED || !kern_direction_user(&bench->dir))
		return -ENOBUFS;
	return catch_up(bench);
}

static int step_end(struct bench *bench)
{
	(void)shutdown(bench->client, SHUT_WR);
	if (wait_for(bench->front, POLLRDHUP))
		return -ETIMEDOUT;
	/* The bare FIN must not have harmed the target. */
	(void)shutdown(bench->back, SHUT_WR);
	if (wait_for(bench->server, POLLIN))
		return -ETIMEDOUT;
	return server_read(bench) == 0 && bench->received == bench->sent ? 0 : -EPIPE;
}

int kern_selftest(struct kern *kern, char *why, size_t why_size)
{
	static const struct {
		const char *name;
		int (*run)(struct bench *bench);
	} steps[] = {
		{ "early data", step_early_data },
		{ "redirect", step_redirect },
		{ "back-pressure", step_back_pressure },
		{ "end of stream", step_end },
	};
	_cleanup_free_ struct bench *bench = calloc(1, sizeof(*bench));
	const char *name = "socket pairs";
	int err;

	if (!bench)
		return -ENOMEM;
	bench->kern = kern;
	bench->client = bench->front = bench->back = bench->server = -1;
	err = make_pair(&bench->client, &bench->front);
	if (!err)
		err = make_pair(&bench->back, &bench->server);
	if (!err)
		err = socket_set_int(bench->back, SOL_SOCKET, SO_SNDBUFFORCE, TARGET_SNDBUF);
	for (size_t i = 0; !err && i < ARRAY_SIZE(steps); i++) {
		name = steps[i].name;
		err = steps[i].run(bench);
	}
	bench_close(bench);
	if (err)
		snprintf(why, why_size, "self-test failed at %s: errno %d", name, -err);
	return err;
}
