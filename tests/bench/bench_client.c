/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load of the bulk, WebSocket and memory figures. Speaks PROXY v1 first on each connection,
 * in a segment of its own, if a source network is given.
 *
 *   bench_client get  PORT SOURCE|- PATH COUNT      HTTP downloads one after the other
 *   bench_client put  PORT SOURCE|- BYTES COUNT     uploads to bench_server's sink, the count checked
 *   bench_client ws   PORT SOURCE|- CONNECTIONS SECONDS   ping-pong of 32-byte messages
 *   bench_client idle PORT SOURCE|- CONNECTIONS     opens them, says "open", and waits for a line:
 *                                                   handshakes then, says "talked", waits for another
 *
 * SOURCE: first two bytes of the clients' addresses, as in 10.7. stdout: one JSON line.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IO_SIZE (256 * 1024)
#define MESSAGE 32
#define FRAME (6 + MESSAGE)
#define REPLY (2 + MESSAGE)
#define HISTOGRAM_US 100000

static const char handshake[] = "GET / HTTP/1.1\r\nHost: bench\r\n"
				"Upgrade: websocket\r\nConnection: Upgrade\r\n"
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
				"Sec-WebSocket-Version: 13\r\n\r\n";

static char buffer[IO_SIZE + 1];
static unsigned port;
static const char *source;
static unsigned opened;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void refuse(const char *what)
{
	fprintf(stderr, "bench_client: %s\n", what);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void send_all(int fd, const void *data, size_t n)
{
	const char *at = data;

	while (n > 0) {
		ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

		if (sent < 0)
			die("send");
		at += sent;
		n -= (size_t)sent;
	}
}

static size_t recv_some(int fd)
{
	ssize_t n = recv(fd, buffer, IO_SIZE, 0);

	if (n < 0)
		die("recv");
	return (size_t)n;
}

static int open_one(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	unsigned n = opened++;

	if (fd < 0 || connect(fd, (const void *)&sa, sizeof(sa)) < 0)
		die("connect");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (source) {
		int len = snprintf(buffer, sizeof(buffer),
				   "PROXY TCP4 %s.%u.%u 198.51.100.1 %u 443\r\n", source,
				   n / 250 % 250, n % 250 + 1, 1024 + n % 60000);

		send_all(fd, buffer, (size_t)len);
	}
	return fd;
}

static void report_bulk(uint64_t bytes, uint64_t us)
{
	printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", (unsigned long long)bytes,
	       (double)us / 1e6);
}

static void get(const char *path, int count)
{
	uint64_t bytes = 0, began = now_us();

	for (int i = 0; i < count; i++) {
		int fd = open_one(), len;
		uint64_t got = 0;
		size_t n;

		len = snprintf(buffer, sizeof(buffer),
			       "GET %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", path);
		send_all(fd, buffer, (size_t)len);
		while ((n = recv_some(fd)) > 0) {
			if (!got && strncmp(buffer, "HTTP/1.1 200", 12) != 0)
				refuse("the answer is not 200");
			got += n;
		}
		if (!got)
			refuse("no answer");
		bytes += got;
		close(fd);
	}
	report_bulk(bytes, now_us() - began);
}

static void put(uint64_t size, int count)
{
	uint64_t began = now_us();
	char digits[17];

	snprintf(digits, sizeof(digits), "%016llu", (unsigned long long)size);
	for (int i = 0; i < count; i++) {
		int fd = open_one();

		send_all(fd, digits, 16);
		memset(buffer, 'u', IO_SIZE);
		for (uint64_t left = size; left > 0;) {
			size_t part = left < IO_SIZE ? left : IO_SIZE;

			send_all(fd, buffer, part);
			left -= part;
		}
		if (recv_some(fd) != 16 || memcmp(buffer, digits, 16) != 0)
			refuse("the sink did not get all bytes");
		close(fd);
	}
	report_bulk(size * (uint64_t)count, now_us() - began);
}

static void shake_hands(int fd)
{
	size_t have = 0;

	send_all(fd, handshake, sizeof(handshake) - 1);
	while (!memmem(buffer, have, "\r\n\r\n", 4)) {
		ssize_t n = recv(fd, buffer + have, IO_SIZE - have, 0);

		if (n <= 0)
			refuse("the handshake ended early");
		have += (size_t)n;
	}
	if (strncmp(buffer, "HTTP/1.1 101", 12) != 0)
		refuse("the answer is not 101");
}

struct ping {
	int fd;
	unsigned got;
	uint64_t sent_us;
};

static void send_ping(struct ping *ping)
{
	uint8_t frame[FRAME] = { 0x82, 0x80 | MESSAGE, 1, 2, 3, 4 };

	ping->got = 0;
	ping->sent_us = now_us();
	send_all(ping->fd, frame, sizeof(frame));
}

static uint32_t histogram[HISTOGRAM_US];

static unsigned percentile(uint64_t total, unsigned percent)
{
	uint64_t seen = 0;

	for (unsigned us = 0; us < HISTOGRAM_US; us++) {
		seen += histogram[us];
		if (seen * 100 >= total * percent)
			return us;
	}
	return HISTOGRAM_US;
}

/* Returns true if the reply is whole, and the next message is on its way. */
static bool pong(struct ping *ping)
{
	ssize_t n = recv(ping->fd, buffer, REPLY - ping->got, MSG_DONTWAIT);
	uint64_t us;

	if (n == 0)
		refuse("a WebSocket was closed");
	if (n < 0 && errno != EAGAIN)
		die("recv");
	ping->got += n > 0 ? (unsigned)n : 0;
	if (ping->got < REPLY)
		return false;
	us = now_us() - ping->sent_us;
	histogram[us < HISTOGRAM_US ? us : HISTOGRAM_US - 1]++;
	send_ping(ping);
	return true;
}

static void ws(unsigned count, unsigned seconds)
{
	struct ping *pings = calloc(count, sizeof(*pings));
	struct epoll_event events[64];
	int loop = epoll_create1(0);
	uint64_t total = 0, began, us;

	if (!pings || loop < 0)
		die("ws");
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &pings[i] };

		pings[i].fd = open_one();
		shake_hands(pings[i].fd);
		if (epoll_ctl(loop, EPOLL_CTL_ADD, pings[i].fd, &event) < 0)
			die("epoll_ctl");
	}
	began = now_us();
	for (unsigned i = 0; i < count; i++)
		send_ping(&pings[i]);
	do {
		int n = epoll_wait(loop, events, 64, 1000);

		for (int i = 0; i < n; i++)
			total += pong(events[i].data.ptr);
		us = now_us() - began;
	} while (us < (uint64_t)seconds * 1000000);
	printf("{\"messages\": %llu, \"seconds\": %.6f, \"p50_us\": %u, \"p99_us\": %u}\n",
	       (unsigned long long)total, (double)us / 1e6, percentile(total, 50),
	       percentile(total, 99));
	free(pings);
}

static void wait_for_line(const char *said)
{
	char line[16];

	puts(said);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(0);
}

static void idle(unsigned count)
{
	int *fds = calloc(count, sizeof(*fds));

	if (!fds)
		die("calloc");
	for (unsigned i = 0; i < count; i++)
		fds[i] = open_one();
	wait_for_line("open");
	for (unsigned i = 0; i < count; i++)
		shake_hands(fds[i]);
	wait_for_line("talked");
	free(fds);
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: bench_client get|put|ws|idle PORT SOURCE|- ...\n");
		return 2;
	}
	port = (unsigned)atoi(argv[2]);
	source = strcmp(argv[3], "-") ? argv[3] : NULL;
	if (!strcmp(argv[1], "idle"))
		idle((unsigned)atoi(argv[4]));
	else if (argc < 6)
		refuse("an argument is missing");
	else if (!strcmp(argv[1], "get"))
		get(argv[4], atoi(argv[5]));
	else if (!strcmp(argv[1], "put"))
		put(strtoull(argv[4], NULL, 10), atoi(argv[5]));
	else if (!strcmp(argv[1], "ws"))
		ws((unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
	else
		refuse("get, put, ws or idle");
	return 0;
}
