// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the kernel does with a stream under the verdict program, rule by rule: K1 to K4, K6
 * to K8 and K15 of the kernel path's rules. Each test says by which change of the product it
 * was seen to fail ("Mutation").
 */
#include "pairs.h"

#include <pthread.h>
#include <sys/ioctl.h>

#define STOPPED_RCVBUF (256 << 10)

/* The kernel moves the bytes, and nobody reads them. */
static void accelerate_to_stopped_reader(struct rig *rig)
{
	assert_int_equal(socket_set_int(rig->server, SOL_SOCKET, SO_RCVBUF, STOPPED_RCVBUF), 0);
	stream_accelerate(&rig->up);
}

/* Bytes in the target's queue, unbounded and uncharged, if the program lets them in. */
static void queue_is_bounded(struct stream *stream)
{
	for (int look = 0; look < 3; look++) {
		if (stream_waiting(stream) <= UP_ROOM_MAX)
			return;
	}
	fail_msg("%llu bytes wait in the target's queue",
		 (unsigned long long)stream_waiting(stream));
}

/* K1: no back-pressure of the kernel's own: the program must hand a stopped reader's stream
 * back. Mutation: has_room() returns true at once -> "bytes wait in the target's queue". */
static void k1_stopped_reader(void **state)
{
	struct up_stats before = stats_now();
	struct rig *rig = *state;
	struct stream *up = &rig->up;

	accelerate_to_stopped_reader(rig);
	stream_fill(up, queue_is_bounded);

	assert_in_range(up->sent, 1, UNBOUNDED - 1);
	assert_true(kern_direction_user(&up->dir));
	assert_int_equal(up->dir.shared->handback, UP_HANDBACK_CONGESTED);
	assert_int_equal(events_of(up->dir.shared->token, UP_HANDBACK_CONGESTED), 1);
	assert_int_equal(stats_now().congested, before.congested + 1);

	stream_arrives_moved(up);
	assert_true(up->kept > 0 && kern_direction_redirected(&up->dir) > 0);
}

/* K2: the header's bytes stay on the stream; who cuts unread bytes off leaves copied_seq
 * behind for ever. Mutation: parse_header() cuts header.len off with adjust_room -> the
 * program has not seen header and payload. */
static void k2_header_bytes_stay(void **state)
{
	static const char header[] = "PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n";
	const size_t len = sizeof(header) - 1;
	char got[sizeof(header)] = "", end;
	struct rig *rig = *state;
	struct stream *up = &rig->up;
	int unread = -1;

	stream_new(up, UP_STAGE_HEADER);
	stream_start(up);
	assert_int_equal(send(rig->client, header, len, MSG_MORE), len);
	stream_send_all(up, 5000);
	assert_soon(kern_direction_seen(&up->dir) == len + 5000);
	assert_int_equal(up->dir.shared->stage, UP_STAGE_PARSED);
	assert_int_equal(up->dir.shared->parse_len, len);

	assert_int_equal(recv(rig->front, got, len, MSG_DONTWAIT), len);
	assert_string_equal(got, header);
	up->header = len;
	stream_move_all(up);
	/* Read empty is empty: in recv(), in poll(), in ioctl(). */
	assert_int_equal(poll_now(rig->front, POLLIN), 0);
	assert_return_code(ioctl(rig->front, FIONREAD, &unread), errno);
	assert_int_equal(unread, 0);
	assert_int_equal(up->kept, 5000);

	/* What follows goes by the kernel, and nothing is left that would make close() reset. */
	assert_true(stream_resume(up));
	stream_send_all(up, 5000);
	stream_arrives(up);
	assert_int_equal(kern_direction_redirected(&up->dir), 5000);
	close_now(&rig->front);
	assert_int_equal(poll_for(rig->client, POLLIN), POLLIN);
	assert_int_equal(recv(rig->client, &end, 1, MSG_DONTWAIT), 0);
}

/* Read the first `n` of 1000 bytes as a copy path does, before the program is there. */
static void read_part(struct rig *rig, ssize_t n)
{
	uint8_t part[1000];

	stream_send_all(&rig->up, sizeof(part));
	assert_int_equal(poll_for(rig->front, POLLIN), POLLIN);
	assert_true(arrived(rig->front, sizeof(part)));
	assert_int_equal(recv(rig->front, part, (size_t)n, MSG_DONTWAIT), n);
	assert_int_equal(send(rig->back, part, (size_t)n, MSG_DONTWAIT), n);
	rig->up.baseline += (uint64_t)n;
}

/* The program comes to a socket that has bytes already; then more of them. */
static void early_and_late_bytes_arrive(struct stream *stream)
{
	stream_new(stream, UP_STAGE_STREAM);
	assert_true(kern_direction_resume(&stream->dir, 0));
	stream_start(stream);
	stream_arrives(stream);
	stream_send_all(stream, MANY);
	stream_arrives(stream);
}

/* K3: segments are delivered whole, also the part that was read before. Trimmed in kernel
 * mode. Mutation: trim_consumed() returns TRIM_OK at once -> "wrong byte at 100". */
static void k3_read_part_is_not_redirected(void **state)
{
	struct up_stats before = stats_now();
	struct rig *rig = *state;
	struct stream *up = &rig->up;

	read_part(rig, 100);
	early_and_late_bytes_arrive(up);
	assert_int_equal(kern_direction_redirected(&up->dir), 900 + MANY);
	assert_int_equal(stats_now().trimmed, before.trimmed + 1);
}

/* K3, in user mode: recv() gives the rest alone, and the socket is read empty by it.
 * Mutation: as above -> "wrong byte at 100"; TRIM_STEPS 0 -> BROKEN, no event expected. */
static void k3_read_part_is_not_passed_up(void **state)
{
	struct rig *rig = *state;
	struct stream *up = &rig->up;

	read_part(rig, 999);
	stream_new(up, UP_STAGE_STREAM);
	stream_start(up);
	assert_int_equal(kern_direction_seen(&up->dir), 1);
	stream_move_all(up);
	assert_int_equal(up->kept, 1);
	assert_int_equal(poll_now(rig->front, POLLIN), 0);
	assert_int_equal(up->dir.shared->handback, UP_HANDBACK_NONE);
	assert_true(stream_resume(up));
	stream_send_all(up, MANY);
	stream_arrives(up);
}

/* K4: a bare FIN runs the program with no bytes; redirected, it ends the target's worker.
 * Mutation: without the `!skb->len` branch -> the target has a pending error (EPIPE). */
static void k4_bare_fin(void **state)
{
	struct up_stats before = stats_now();
	struct rig *rig = *state;
	char end;

	stream_accelerate(&rig->up);
	stream_accelerate(&rig->down);
	stream_send_all(&rig->up, MANY);
	stream_arrives(&rig->up);
	assert_return_code(shutdown(rig->client, SHUT_WR), errno);
	assert_true(poll_for(rig->front, POLLRDHUP) & POLLRDHUP);
	/* It is the daemon's to pass on; the target is as it was, in both directions. */
	stream_send_all(&rig->down, MANY);
	stream_arrives(&rig->down);
	assert_int_equal(poll_now(rig->back, POLLERR | POLLHUP), 0);
	assert_int_equal(socket_error(rig->back), 0);
	assert_int_equal(poll_now(rig->server, POLLIN | POLLRDHUP), 0);
	assert_int_equal(send(rig->back, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), 1);
	assert_return_code(shutdown(rig->back, SHUT_WR), errno);
	assert_true(poll_for(rig->server, POLLRDHUP) & POLLRDHUP);
	assert_int_equal(recv(rig->server, &end, 1, MSG_DONTWAIT), 1);
	assert_int_equal(recv(rig->server, &end, 1, MSG_DONTWAIT), 0);
	assert_int_equal(stats_now().fins, before.fins + 1);
}

/* What the kernel could not send is user space's, to the last byte. */
static void assert_passed_up(struct rig *rig, uint32_t handback)
{
	uint8_t got[5000];

	assert_soon(kern_direction_seen(&rig->up.dir) >= sizeof(got));
	assert_true(kern_direction_user(&rig->up.dir));
	assert_int_equal(rig->up.dir.shared->handback, handback);
	assert_int_equal(events_of(rig->up.dir.shared->token, handback), 1);
	assert_int_equal(recv(rig->front, got, sizeof(got), MSG_DONTWAIT), sizeof(got));
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], stream_byte(&rig->up, i));
}

/* K6: a miss of the redirect helper is SK_DROP: what has no target is passed up.
 * Mutation: `return SK_DROP` after a failed redirect() -> recv() gives nothing. */
static void k6_no_target(void **state)
{
	const struct kern_source source = { .stage = UP_STAGE_STREAM, .token = 1 << 20 };
	struct kern_source here = source;
	struct rig *rig = *state;

	here.fd = rig->front;
	assert_int_equal(kern_direction_new(kern, &here, &rig->up.dir), 0);
	assert_true(kern_direction_resume(&rig->up.dir, 0));
	stream_start(&rig->up);
	stream_send_all(&rig->up, 5000);
	assert_passed_up(rig, UP_HANDBACK_NO_TARGET);
}

/* K6, the target went away under a running direction. Mutation: as above. */
static void k6_target_gone(void **state)
{
	struct rig *rig = *state;

	stream_accelerate(&rig->up);
	close_now(&rig->back);
	stream_send_all(&rig->up, 5000);
	assert_passed_up(rig, UP_HANDBACK_NO_TARGET);
}

/* K7: what came before the program is not processed until more comes.
 * Mutation: kern_direction_start() without its recv(MSG_PEEK) -> "0 of 133 bytes arrived".
 * Mutation: without MSG_PEEK -> the source stays readable. */
static void k7_early_data(void **state)
{
	struct rig *rig = *state;
	struct stream *up = &rig->up;

	stream_send_all(up, 133);
	assert_int_equal(poll_for(rig->front, POLLIN), POLLIN);
	early_and_late_bytes_arrive(up);
	assert_int_equal(kern_direction_redirected(&up->dir), 133 + MANY);
	assert_int_equal(poll_now(rig->front, POLLIN), 0);
}

/* K8: the worker sleeps a jiffy whenever the target's send buffer is half full. With the
 * daemon's buffer what the program lets in always fits: the reader stopped for good, and
 * still nothing waits for the worker. Mutation: has_room() returns true at once -> not
 * reached: waiting == 0. */
static void k8_worker_never_waits(void **state)
{
	struct rig *rig = *state;
	struct stream *up = &rig->up;

	accelerate_to_stopped_reader(rig);
	stream_fill(up, NULL);
	assert_true(kern_direction_redirected(&up->dir) > UP_ROOM_BASE / 2);
	assert_soon(stream_waiting(up) == 0);
	stream_arrives_moved(up);
}

/* K8, that the test above can see a waiting worker: a small buffer makes it wait. */
static void k8_small_buffer_does(void **state)
{
	struct rig *rig = *state;
	struct stream *up = &rig->up;

	assert_int_equal(socket_set_int(rig->back, SOL_SOCKET, SO_SNDBUF, 32 << 10), 0);
	assert_int_equal(socket_set_int(rig->server, SOL_SOCKET, SO_RCVBUF, 32 << 10), 0);
	stream_accelerate(up);
	stream_fill(up, NULL);
	assert_true(stream_waiting(up) > 0);
	stream_arrives_moved(up); /* late, but whole */
}

/* K15: back to kernel mode only if every byte seen was consumed.
 * Mutation: kern_direction_resume() stores the word without comparing -> resumes with 1000
 * bytes unread. */
static void k15_resume_only_when_nothing_arrived(void **state)
{
	struct rig *rig = *state;
	struct stream *up = &rig->up;

	stream_new(up, UP_STAGE_STREAM);
	stream_start(up);
	stream_send_all(up, 1000);
	assert_soon(kern_direction_seen(&up->dir) == 1000);
	assert_false(stream_resume(up));
	stream_move_all(up);
	stream_send_all(up, 500); /* arrives between the last recv() and the swap */
	assert_soon(kern_direction_seen(&up->dir) == 1500);
	assert_false(stream_resume(up));
	assert_true(kern_direction_user(&up->dir));
	stream_move_all(up);
	assert_true(stream_resume(up));
	assert_false(kern_direction_user(&up->dir));
	stream_send_all(up, 100);
	stream_arrives(up);
	assert_int_equal(up->kept, 1500);
	assert_int_equal(kern_direction_redirected(&up->dir), 100);
	kern_direction_take(&up->dir);
	stream_send_all(up, 100);
	assert_soon(kern_direction_seen(&up->dir) == 1700);
	assert_int_equal(kern_direction_redirected(&up->dir), 100);
}

#define RACED (16 << 20)

static void *send_in_bits(void *stream_p)
{
	struct stream *stream = stream_p;

	for (unsigned turn = 1; stream->sent < RACED; turn++) {
		if (!stream_send(stream, 1 + turn * 7919 % 9000) &&
		    !poll_for(stream->sender, POLLOUT))
			break; /* stuck: the test sees that not all was sent */
		/* Let the mover catch up now and then, or it may stay behind to the end. */
		for (int ms = 0; turn % 64 == 0 && ms < DEADLINE_MS; ms++) {
			if (!kern_direction_user(&stream->dir))
				break;
			(void)poll(NULL, 0, 1);
		}
	}
	return NULL;
}

/* K15, raced: a sender in its own thread while the mode changes all the time and each buffer
 * moved may be the last. Mutation: as above -> stuck, or a wrong byte. */
static void k15_resume_raced(void **state)
{
	uint64_t end = now_ms() + 2 * DEADLINE_MS;
	uint64_t redirected, before = 0;
	unsigned resumed = 0;
	struct rig *rig = *state;
	struct stream *up = &rig->up;
	pthread_t sender;

	stream_accelerate(up);
	assert_int_equal(pthread_create(&sender, NULL, send_in_bits, up), 0);
	while (up->received < RACED && now_ms() < end) {
		(void)stream_read(up);
		redirected = kern_direction_redirected(&up->dir);
		if (kern_direction_user(&up->dir)) {
			if (stream_move(up) != MOVED_NOT)
				resumed += stream_resume(up);
		} else if (redirected > before + RACED / 512) {
			kern_direction_take(&up->dir);
			before = redirected;
		}
	}
	assert_int_equal(pthread_join(sender, NULL), 0);
	assert_true(up->sent >= RACED);
	stream_arrives_moved(up);
	print_message("K15: %u resumes, %llu bytes by the kernel, %llu by user space\n", resumed,
		      (unsigned long long)kern_direction_redirected(&up->dir),
		      (unsigned long long)up->kept);
	assert_true(resumed > 0);
	assert_int_equal(kern_direction_redirected(&up->dir) + up->kept, up->sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(k1_stopped_reader),
		rig_test(k2_header_bytes_stay),
		rig_test(k3_read_part_is_not_redirected),
		rig_test(k3_read_part_is_not_passed_up),
		rig_test(k4_bare_fin),
		rig_test(k6_no_target),
		rig_test(k6_target_gone),
		rig_test(k7_early_data),
		rig_test(k8_worker_never_waits),
		rig_test(k8_small_buffer_does),
		rig_test(k15_resume_only_when_nothing_arrived),
		rig_test(k15_resume_raced),
	};

	return cmocka_run_group_tests(tests, kern_set_up, kern_tear_down);
}
