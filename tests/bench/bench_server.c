/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend of the bulk upload, WebSocket and memory loads: knows nothing of PROXY.
 *
 *   bench_server SINK_PORT ECHO_PORT WORKERS
 *
 * Sink: a size in 16 digits and so many bytes, answered with the size (nginx would not wait for the
 * answer behind a half-close). Echo: a WebSocket server that
 * answers the sample handshake of RFC 6455 and sends small messages back. One process a worker
 * (SO_REUSEPORT); all end with the first.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SINK_READ (256 * 1024)
#define DIGITS 16
#define ECHO_MAX 1024
#define HANDSHAKE_END "\r\n\r\n"

static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\n"
				"Upgrade: websocket\r\nConnection: Upgrade\r\n"
				"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzbzhZRbK+xo=\r\n\r\n";

enum role { LISTEN_SINK, LISTEN_ECHO, SINK, ECHO };

struct peer {
	int fd;
	enum role role;
	bool open; /* the size, or the handshake, is here */
	uint64_t left;
	uint32_t held;
	uint8_t data[]; /* DIGITS + 1 of a sink, ECHO_MAX of an echo */
};

static char sink_buffer[SINK_READ];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(int loop, int fd, enum role role)
{
	struct peer *peer = calloc(1, sizeof(*peer) + (role == ECHO ? ECHO_MAX : DIGITS + 1));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = peer };

	if (!peer)
		die("calloc");
	peer->fd = fd;
	peer->role = role;
	if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static void listen_on(int loop, unsigned port, enum role role)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    bind(fd, (const void *)&sa, sizeof(sa)) < 0 || listen(fd, 4096) < 0)
		die("listen");
	watch(loop, fd, role);
}

static bool send_all(int fd, const void *data, size_t n)
{
	return send(fd, data, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool read_size(struct peer *peer)
{
	ssize_t n = recv(peer->fd, peer->data + peer->held, DIGITS - peer->held, MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	peer->held += (uint32_t)n;
	peer->open = peer->held == DIGITS;
	peer->left = strtoull((const char *)peer->data, NULL, 10);
	return true;
}

/* Returns false when the connection is over. */
static bool serve_sink(struct peer *peer)
{
	ssize_t n;

	if (!peer->open)
		return read_size(peer);
	n = recv(peer->fd, sink_buffer, sizeof(sink_buffer), MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	if ((uint64_t)n > peer->left)
		return false;
	peer->left -= (uint64_t)n;
	return peer->left > 0 || send_all(peer->fd, peer->data, DIGITS);
}

/* One masked message of at most 125 bytes back as it came. Returns the bytes it took, 0: not
 * whole yet, -1: not what this server speaks. */
static int echo_one(struct peer *peer, const uint8_t *frame, uint32_t n)
{
	uint8_t reply[128], len;

	if (n < 6)
		return 0;
	len = frame[1] & 0x7f;
	if (!(frame[1] & 0x80) || len > 125)
		return -1;
	if (n < 6U + len)
		return 0;
	reply[0] = frame[0];
	reply[1] = len;
	for (unsigned i = 0; i < len; i++)
		reply[2 + i] = frame[6 + i] ^ frame[2 + i % 4];
	return send_all(peer->fd, reply, 2U + len) ? 6 + len : -1;
}

static bool serve_echo(struct peer *peer)
{
	ssize_t n = recv(peer->fd, peer->data + peer->held, ECHO_MAX - peer->held, MSG_DONTWAIT);
	uint32_t at = 0;

	if (n < 0)
		return errno == EAGAIN;
	if (n == 0)
		return false;
	peer->held += (uint32_t)n;
	if (!peer->open) {
		const uint8_t *end = memmem(peer->data, peer->held, HANDSHAKE_END, 4);

		if (!end)
			return peer->held < ECHO_MAX;
		peer->open = true;
		at = (uint32_t)(end - peer->data) + 4;
		if (!send_all(peer->fd, switching, sizeof(switching) - 1))
			return false;
	}
	while (at < peer->held) {
		int took = echo_one(peer, peer->data + at, peer->held - at);

		if (took < 0)
			return false;
		if (took == 0)
			break;
		at += (uint32_t)took;
	}
	memmove(peer->data, peer->data + at, peer->held - at);
	peer->held -= at;
	return true;
}

static void accept_some(int loop, const struct peer *listener)
{
	for (int i = 0; i < 64; i++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK);

		if (fd < 0)
			return;
		watch(loop, fd, listener->role == LISTEN_SINK ? SINK : ECHO);
	}
}

static void serve(struct peer *peer)
{
	if (peer->role == SINK ? serve_sink(peer) : serve_echo(peer))
		return;
	close(peer->fd);
	free(peer);
}

static void run(unsigned sink_port, unsigned echo_port)
{
	struct epoll_event events[256];
	int loop = epoll_create1(0);

	listen_on(loop, sink_port, LISTEN_SINK);
	listen_on(loop, echo_port, LISTEN_ECHO);
	for (;;) {
		int n = epoll_wait(loop, events, 256, -1);

		for (int i = 0; i < n; i++) {
			struct peer *peer = events[i].data.ptr;

			if (peer->role == LISTEN_SINK || peer->role == LISTEN_ECHO)
				accept_some(loop, peer);
			else
				serve(peer);
		}
	}
}

int main(int argc, char **argv)
{
	pid_t first = getpid();

	if (argc != 4) {
		fprintf(stderr, "usage: bench_server SINK_PORT ECHO_PORT WORKERS\n");
		return 2;
	}
	for (int i = 1; i < atoi(argv[3]); i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != first)
			return 1;
		break;
	}
	run((unsigned)atoi(argv[1]), (unsigned)atoi(argv[2]));
}
