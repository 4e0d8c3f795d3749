/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one word of a script does to a connection: stream_peer's sending and receiving
 * halves. Its loop, its control channel and its report are in stream_peer.c.
 */
#ifndef STREAM_OPS_H
#define STREAM_OPS_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "stream_data.h"
#include "stream_script.h"

#define IO_SIZE (256 * 1024)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

enum want { WANT_NEXT, WANT_IO, WANT_TICK, WANT_OTHER, WANT_NOTHING, WANT_FINISH };

struct side {
	size_t at; /* index of the current word */
	bool entered;
	uint64_t start; /* byte count when the word began */
	uint64_t start_ms;
	uint64_t target;
	uint64_t rounds;
	size_t hex_at;
	enum want want;
};

struct conn {
	int fd;
	unsigned number;
	uint64_t seed, draw, tx_bytes;
	struct stream_check rx;
	struct side txs, rxs;
	bool used, connecting, eof, reset, added, stripped;
	uint8_t head[4200]; /* the header, where this end takes it off */
	size_t head_len;
	uint32_t events;
	char why[160];
	char local[64], peer[64];
	uint64_t begun_ms;
};

static struct {
	bool server;
	struct script tx, rx;
	unsigned count, parallel, started, done, failed;
	uint64_t seed;
	int mss, rcvbuf, sndbuf, timeout_s, gap_ms, nagle, strip, keepalive;
	const char *bind;
	struct sockaddr_storage addr;
	socklen_t addr_len;
	int epfd, listen_fd;
	uint64_t go, tx_total, rx_total;
	bool quit;
	struct conn *conns;
} peer = { .count = 1, .parallel = 1, .seed = 1, .timeout_s = 60, .listen_fd = -1 };

static uint8_t io_buf[IO_SIZE];

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3))) static void complain(struct conn *c, const char *format, ...)
{
	va_list ap;

	if (c->why[0])
		return;
	va_start(ap, format);
	vsnprintf(c->why, sizeof(c->why), format, ap);
	va_end(ap);
}

static void side_enter(struct conn *c, struct side *s, const struct op *op, uint64_t bytes)
{
	if (s->entered)
		return;
	s->entered = true;
	s->start = bytes;
	s->start_ms = now_ms();
	s->hex_at = 0;
	s->rounds = 0;
	s->target = bytes + op->n;
	if (op->max > op->n) {
		c->draw = stream_mix(c->draw);
		s->target += c->draw % (op->max - op->n + 1);
	}
}

static enum want tx_failed(struct conn *c)
{
	if (errno == EAGAIN)
		return WANT_IO;
	if (errno == EINTR)
		return WANT_NEXT;
	c->reset = true;
	return WANT_NOTHING;
}

static size_t make_header(const struct conn *c, bool v2, uint8_t *out, size_t size)
{
	unsigned a = c->number >> 8 & 255, b = c->number & 255, port = 1024 + c->number % 60000;
	static const uint8_t start[16] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";

	if (!v2)
		return (size_t)snprintf((char *)out, size,
					"PROXY TCP4 198.51.%u.%u 203.0.113.9 %u 443\r\n", a, b,
					port);
	memcpy(out, start, 16);
	memcpy(out + 16,
	       (uint8_t[]){ 198, 51, (uint8_t)a, (uint8_t)b, 203, 0, 113, 9, (uint8_t)(port >> 8),
			    (uint8_t)port, 1, 187 },
	       12);
	return 28;
}

static enum want tx_bytes(struct conn *c, const uint8_t *bytes, size_t len, bool more)
{
	while (c->txs.hex_at < len) {
		ssize_t n = send(c->fd, bytes + c->txs.hex_at, len - c->txs.hex_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));

		if (n < 0)
			return tx_failed(c);
		c->txs.hex_at += (size_t)n;
	}
	return WANT_NEXT;
}

static enum want tx_acked(struct conn *c)
{
	int unacked = 0;

	if (ioctl(c->fd, SIOCOUTQ, &unacked) < 0 || unacked)
		return c->reset ? WANT_NOTHING : WANT_TICK;
	return WANT_NEXT;
}

/* Whether the next piece may go. */
static enum want tx_between(struct conn *c, const struct op *op)
{
	if (op->kind != OP_CUT)
		return tx_acked(c);
	return now_ms() - c->txs.start_ms >= (uint64_t)peer.gap_ms ? WANT_NEXT : WANT_TICK;
}

/* The op's bytes up to a cut, then the next piece. */
static enum want tx_pieces(struct conn *c, const struct op *op)
{
	struct side *s = &c->txs;

	for (;;) {
		size_t cut = op->kind == OP_TRICKLE ? s->rounds + 1 : c->number % op->hex_len + 1;
		enum want want = tx_bytes(c, op->hex,
					  s->rounds && op->kind != OP_TRICKLE ? op->hex_len : cut,
					  false);

		if (want == WANT_NEXT)
			want = tx_between(c, op);
		if (want != WANT_NEXT || s->hex_at == op->hex_len)
			return want;
		s->rounds++;
	}
}

static enum want tx_data(struct conn *c, const struct op *op)
{
	uint64_t left = c->txs.target - c->tx_bytes;
	size_t chunk = op->chunk && op->chunk < IO_SIZE ? op->chunk : IO_SIZE;
	unsigned rounds = chunk < 4096 ? 64 : 1;

	while (left && rounds--) {
		size_t len = left < chunk ? left : chunk;
		ssize_t n;

		stream_fill(c->seed, c->tx_bytes, io_buf, len);
		n = send(c->fd, io_buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return tx_failed(c);
		c->tx_bytes += (uint64_t)n;
		peer.tx_total += (uint64_t)n;
		left -= (uint64_t)n;
	}
	return left ? WANT_IO : WANT_NEXT;
}

static enum want common_op(const struct op *op, const struct side *s)
{
	if (op->kind == OP_GO)
		return peer.go >= op->n ? WANT_NEXT : WANT_OTHER;
	return now_ms() - s->start_ms >= op->n ? WANT_NEXT : WANT_TICK; /* OP_MS */
}

static enum want reset(struct conn *c)
{
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
		   sizeof(struct linger));
	return WANT_FINISH;
}

static enum want tx_op(struct conn *c, const struct op *op)
{
	uint8_t header[128];

	side_enter(c, &c->txs, op, c->tx_bytes);
	switch (op->kind) {
	case OP_HEX:
	case OP_HEXMORE:
		return tx_bytes(c, op->hex, op->hex_len, op->kind == OP_HEXMORE);
	case OP_SPLIT:
	case OP_CUT:
	case OP_TRICKLE:
		return tx_pieces(c, op);
	case OP_V1:
	case OP_V2:
		return tx_bytes(c, header,
				make_header(c, op->kind == OP_V2, header, sizeof(header)), op->n);
	case OP_DATA:
		return tx_data(c, op);
	case OP_ACKED:
		return tx_acked(c);
	case OP_RX:
		return c->rx.count >= op->n ? WANT_NEXT : WANT_OTHER;
	case OP_RXEOF:
		return c->eof ? WANT_NEXT : WANT_OTHER;
	case OP_FIN:
		shutdown(c->fd, SHUT_WR);
		return WANT_NEXT;
	case OP_RST:
		return reset(c);
	case OP_CLOSE:
		return WANT_FINISH;
	default:
		return common_op(op, &c->txs);
	}
}

/* Take a PROXY header off, byte by byte, as an app does that knows of it. */
static enum want rx_strip(struct conn *c)
{
	while (c->head_len < sizeof(c->head)) {
		ssize_t n = recv(c->fd, c->head + c->head_len, 1, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return WANT_IO;
		if (n <= 0)
			break;
		c->head_len++;
		c->stripped = c->head[0] == 'P' ? c->head[c->head_len - 1] == '\n'
						: c->head_len >= 16 &&
							  c->head_len == 16u + c->head[14] * 256u +
										 c->head[15];
		if (c->stripped)
			return WANT_NEXT;
	}
	c->eof = true;
	c->reset = true;
	return WANT_NOTHING;
}

/* Read once, at most max bytes. WANT_NEXT: something came or the end did. */
static enum want rx_read(struct conn *c, uint64_t max)
{
	ssize_t n;

	if (c->eof)
		return WANT_NEXT;
	if (peer.strip && !c->stripped) {
		enum want want = rx_strip(c);

		if (want != WANT_NEXT)
			return want == WANT_IO ? WANT_IO : WANT_NEXT;
	}
	n = recv(c->fd, io_buf, max < IO_SIZE ? max : IO_SIZE, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return WANT_IO;
	if (n <= 0) {
		c->eof = true;
		c->reset |= n < 0;
		return WANT_NEXT;
	}
	stream_check(&c->rx, io_buf, (size_t)n);
	peer.rx_total += (uint64_t)n;
	return WANT_IO;
}

static enum want rx_until(struct conn *c, uint64_t target)
{
	enum want want;

	if (c->rx.count >= target)
		return WANT_NEXT;
	want = rx_read(c, target - c->rx.count);
	if (want == WANT_NEXT)
		complain(c, "%s after %llu of %llu bytes", c->reset ? "RST" : "CLEAN EOF",
			 (unsigned long long)c->rx.count, (unsigned long long)target);
	return c->rx.count >= target ? WANT_NEXT : want;
}

static enum want rx_flip(struct conn *c, const struct op *op)
{
	struct side *s = &c->rxs;
	uint64_t target = s->start + op->n * (s->rounds + 1);

	if (s->rounds >= op->count || c->eof)
		return WANT_NEXT;
	if (now_ms() - s->start_ms < op->chunk)
		return WANT_TICK;
	if (rx_until(c, target) != WANT_NEXT)
		return WANT_IO;
	s->rounds++;
	s->start_ms = now_ms();
	return WANT_TICK;
}

static enum want rx_rate(struct conn *c, const struct op *op)
{
	uint64_t allowed = c->rxs.start + op->chunk * (now_ms() - c->rxs.start_ms) / 1000;

	if (c->eof || c->rx.count >= c->rxs.target)
		return rx_until(c, c->rxs.target);
	if (allowed <= c->rx.count)
		return WANT_TICK;
	if (allowed > c->rxs.target)
		allowed = c->rxs.target;
	return rx_read(c, allowed - c->rx.count) == WANT_NEXT ? WANT_NEXT : WANT_IO;
}

static enum want rx_last(struct conn *c, const struct op *op)
{
	enum want want = rx_read(c, IO_SIZE);

	if (want != WANT_NEXT)
		return want;
	if (op->kind == OP_EOF && c->reset)
		complain(c, "RST instead of EOF at %llu", (unsigned long long)c->rx.count);
	if (op->kind == OP_ABORTED && !c->reset)
		complain(c, "CLEAN EOF instead of RST at %llu", (unsigned long long)c->rx.count);
	return WANT_NEXT;
}

static enum want rx_op(struct conn *c, const struct op *op)
{
	side_enter(c, &c->rxs, op, c->rx.count);
	switch (op->kind) {
	case OP_DATA:
		return rx_until(c, c->rxs.target);
	case OP_FLIP:
		return rx_flip(c, op);
	case OP_RATE:
		return rx_rate(c, op);
	case OP_RST:
		return reset(c);
	case OP_TX:
		return c->tx_bytes >= op->n ? WANT_NEXT : WANT_OTHER;
	case OP_TXDONE:
		return c->txs.want == WANT_NOTHING ? WANT_NEXT : WANT_OTHER;
	case OP_REST:
	case OP_EOF:
	case OP_ABORTED:
	case OP_END:
		return rx_last(c, op);
	default:
		return common_op(op, &c->rxs);
	}
}

#endif
