// SPDX-License-Identifier: BSD-2-Clause
#include "pairs.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* <netinet/tcp.h> of glibc knows a shorter struct tcp_info: no byte counters. */
#include <linux/tcp.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/addr.h"
#include "base/clock.h"

#define EVENTS_MAX 4096
#define SLOTS 64

struct kern *kern;

static struct kern_ring *ring;
static struct up_event events[EVENTS_MAX];
static unsigned n_events;
static uint8_t buffer[MOVE_AT_ONCE];

uint64_t now_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

static void on_event(void *context, const struct up_event *event)
{
	assert_true(n_events < EVENTS_MAX);
	events[n_events++] = *event;
}

int kern_set_up(void **state)
{
	const struct kern_params params = { .workers = 1, .slots = SLOTS };
	char why[256] = "";
	int err = kern_open(&params, &kern, why, sizeof(why));

	if (!err)
		err = kern_ring_open(kern, 0, on_event, NULL, &ring);
	if (err)
		print_error("kern_open: %d %s\n", err, why);
	return err;
}

int kern_tear_down(void **state)
{
	kern_ring_close(ring);
	kern_close(kern);
	return 0;
}

unsigned events_of(uint64_t token, uint32_t handback)
{
	unsigned n = 0;

	kern_ring_consume(ring);
	for (unsigned i = 0; i < n_events; i++)
		n += events[i].token == token && events[i].handback == handback;
	return n;
}

struct up_stats stats_now(void)
{
	struct up_stats stats;

	assert_return_code(kern_stats(kern, &stats), errno);
	return stats;
}

bool in_map(const struct bpf_map *map, uint64_t cookie)
{
	uint64_t value;

	return bpf_map_lookup_elem(bpf_map__fd(map), &cookie, &value) == 0;
}

static short poll_ms(int fd, short wanted, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = wanted };

	return poll(&poll_fd, 1, timeout_ms) == 1 ? poll_fd.revents : 0;
}

short poll_now(int fd, short wanted)
{
	return poll_ms(fd, wanted, 0);
}

short poll_for(int fd, short wanted)
{
	return poll_ms(fd, wanted, DEADLINE_MS);
}

bool arrived(int fd, size_t n)
{
	return recv(fd, buffer, sizeof(buffer), MSG_PEEK | MSG_DONTWAIT) == (ssize_t)n;
}

void pair_open(int *ret_connected, int *ret_accepted)
{
	_cleanup_close_ int listener = -1;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct up_addr addr;

	assert_int_equal(addr_parse("127.0.0.1:0", &addr), 0);
	listener = socket_listen(&addr, 1);
	assert_return_code(listener, errno);
	assert_return_code(getsockname(listener, (struct sockaddr *)&sa, &len), errno);
	addr_from_sockaddr(&addr, (struct sockaddr *)&sa);
	*ret_connected = socket_connect(&addr, false);
	assert_true(*ret_connected >= 0);
	assert_int_equal(poll_for(listener, POLLIN), POLLIN);
	assert_int_equal(poll_for(*ret_connected, POLLOUT), POLLOUT);
	*ret_accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_return_code(*ret_accepted, errno);
}

void rig_open(struct rig *rig)
{
	*rig = (struct rig){ 0 };
	pair_open(&rig->client, &rig->front);
	pair_open(&rig->back, &rig->server);
	rig->up = (struct stream){ .sender = rig->client,
				   .source = rig->front,
				   .target = rig->back,
				   .receiver = rig->server,
				   .baseline = 1, /* the connecting side's SYN */
				   .seed = 3 };
	rig->down = (struct stream){ .sender = rig->server,
				     .source = rig->back,
				     .target = rig->front,
				     .receiver = rig->client,
				     .seed = 101 };
	assert_int_equal(socket_set_int(rig->back, SOL_SOCKET, SO_SNDBUFFORCE, TARGET_SNDBUF), 0);
	assert_int_equal(socket_set_int(rig->front, SOL_SOCKET, SO_SNDBUFFORCE, TARGET_SNDBUF), 0);
}

void close_now(int *fd)
{
	cleanup_close(fd);
	*fd = -1;
}

void rig_close(struct rig *rig)
{
	close_now(&rig->client);
	close_now(&rig->front);
	close_now(&rig->back);
	close_now(&rig->server);
	kern_direction_free(kern, &rig->up.dir);
	kern_direction_free(kern, &rig->down.dir);
}

int rig_set_up(void **state)
{
	static struct rig rig;

	rig_open(&rig);
	*state = &rig;
	return 0;
}

int rig_tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

void stream_new(struct stream *stream, enum up_stage stage)
{
	static uint64_t last_token;
	const struct kern_source source = {
		.fd = stream->source, .token = ++last_token, .stage = stage, .header_max = 65551
	};

	assert_int_equal(kern_direction_new(kern, &source, &stream->dir), 0);
	assert_int_equal(kern_direction_target(kern, &stream->dir, stream->target), 0);
}

void stream_start(struct stream *stream)
{
	assert_int_equal(kern_direction_start(kern, &stream->dir, stream->source), 0);
}

void stream_accelerate(struct stream *stream)
{
	stream_new(stream, UP_STAGE_STREAM);
	stream_start(stream);
	assert_true(kern_direction_resume(&stream->dir, 0));
}

uint8_t stream_byte(const struct stream *stream, uint64_t position)
{
	return (uint8_t)(stream->seed + position * 167 + (position >> 8) * 13);
}

size_t stream_send(struct stream *stream, size_t n)
{
	uint8_t block[MOVE_AT_ONCE]; /* a test may send in a thread of its own */
	ssize_t sent;

	if (n > sizeof(block))
		n = sizeof(block);
	for (size_t i = 0; i < n; i++)
		block[i] = stream_byte(stream, stream->sent + i);
	sent = send(stream->sender, block, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		fail_msg("send(): errno %d", errno);
	if (sent <= 0)
		return 0;
	__atomic_fetch_add(&stream->sent, (uint64_t)sent, __ATOMIC_RELEASE);
	return (size_t)sent;
}

void stream_send_all(struct stream *stream, size_t n)
{
	while (n) {
		size_t sent = stream_send(stream, n);

		if (!sent)
			assert_int_equal(poll_for(stream->sender, POLLOUT), POLLOUT);
		n -= sent;
	}
}

size_t stream_read(struct stream *stream)
{
	ssize_t got = recv(stream->receiver, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got < 0)
		fail_msg("receiver: errno %d after %llu bytes", errno,
			 (unsigned long long)stream->received);
	if (!got)
		fail_msg("early end after %llu bytes", (unsigned long long)stream->received);
	for (ssize_t i = 0; i < got; i++) {
		uint64_t position = stream->received + (uint64_t)i;

		if (buffer[i] != stream_byte(stream, position))
			fail_msg("wrong byte at %llu", (unsigned long long)position);
	}
	stream->received += (uint64_t)got;
	return (size_t)got;
}

void stream_arrives(struct stream *stream)
{
	while (stream->received < stream->sent) {
		if (!stream_read(stream) && !poll_for(stream->receiver, POLLIN))
			fail_msg("%llu of %llu bytes arrived, no more come",
				 (unsigned long long)stream->received,
				 (unsigned long long)stream->sent);
	}
	assert_int_equal(poll_now(stream->receiver, POLLIN), 0);
}

void stream_arrives_moved(struct stream *stream)
{
	uint64_t end = now_ms() + DEADLINE_MS;

	while (stream->received < stream->sent) {
		size_t got = stream_read(stream);

		if (kern_direction_user(&stream->dir) && stream_move(stream) == MOVED_ALL)
			(void)stream_resume(stream);
		if (got)
			end = now_ms() + DEADLINE_MS;
		else if (now_ms() > end)
			fail_msg("%llu of %llu bytes arrived, no more come",
				 (unsigned long long)stream->received,
				 (unsigned long long)stream->sent);
		else
			(void)poll(NULL, 0, 1);
	}
	assert_int_equal(poll_now(stream->receiver, POLLIN), 0);
}

void stream_fill(struct stream *stream, void (*check)(struct stream *stream))
{
	uint64_t before = 0, after = 1;
	unsigned quiet = 0;

	/* Full: the sender can send no more, and for 50 looks nothing has moved. */
	while (stream->sent < UNBOUNDED && quiet < 50) {
		size_t sent = stream_send(stream, MOVE_AT_ONCE);

		after = kern_direction_seen(&stream->dir) + stream_written(stream);
		quiet = sent || after != before ? 0 : quiet + 1;
		before = after;
		if (!sent)
			(void)poll(NULL, 0, 2);
		if (check)
			check(stream);
	}
}

uint64_t stream_written(const struct stream *stream)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int queued = 0;

	assert_return_code(getsockopt(stream->target, IPPROTO_TCP, TCP_INFO, &info, &len), errno);
	assert_return_code(ioctl(stream->target, SIOCOUTQ, &queued), errno);
	return info.tcpi_bytes_acked + (uint64_t)queued - stream->baseline;
}

uint64_t stream_waiting(const struct stream *stream)
{
	/* In this order: what is redirected meanwhile may be missed, never be invented. */
	uint64_t redirected = kern_direction_redirected(&stream->dir);
	uint64_t written = stream_written(stream);

	return redirected + stream->kept > written ? redirected + stream->kept - written : 0;
}

enum moved stream_move(struct stream *stream)
{
	ssize_t got, sent;

	/* What the kernel redirected must be in the target before a byte may follow it. */
	if (stream_written(stream) != kern_direction_redirected(&stream->dir) + stream->kept)
		return MOVED_NOT;
	got = recv(stream->source, buffer, sizeof(buffer), MSG_PEEK | MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return MOVED_ALL;
	assert_true(got > 0);
	sent = send(stream->target, buffer, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno == EAGAIN)
		return MOVED_NOT;
	assert_true(sent > 0);
	stream->kept += (uint64_t)sent;
	while (sent > 0) { /* recv() may end at each segment */
		got = recv(stream->source, buffer, (size_t)sent, MSG_DONTWAIT);
		assert_true(got > 0);
		sent -= got;
	}
	return MOVED_SOME;
}

void stream_move_all(struct stream *stream)
{
	assert_soon(stream_move(stream) == MOVED_ALL);
}

bool stream_resume(struct stream *stream)
{
	return kern_direction_resume(&stream->dir, stream->kept + stream->header);
}
