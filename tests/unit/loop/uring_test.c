/* SPDX-License-Identifier: BSD-2-Clause */
/* io_uring under the loop: what comes, what goes, and that every operation has a last word. */
/* LDFLAGS: -Wl,--wrap=io_uring_queue_init_params */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "loop/loop.h"
#include "loop/uring.h"

/* The ring itself, as a stranger in the process would find it. */
static struct io_uring *ring;

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *made,
				      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *made,
				      struct io_uring_params *params);

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *made,
				      struct io_uring_params *params)
{
	ring = made;
	return __real_io_uring_queue_init_params(entries, made, params);
}

#define MUCH (1 << 20)

/* One end is ours, the other the test's peer. */
static struct {
	struct loop *loop;
	struct uring_op receive, send;
	int ours, peer;
	char text[64];
	size_t len;
	int last_word; /* of the receive; 1: none yet */
	int sent;
	bool echo;
} t;

static void stop_on_peer_event(struct loop_source *source, uint32_t events)
{
	uint64_t count;

	(void)events;
	assert_int_equal(read(source->fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(uring_cancel(loop_uring(t.loop), &t.receive), 0);
}

static void on_sent(struct uring_op *op, int result)
{
	assert_ptr_equal(op, &t.send);
	t.sent = result;
	loop_stop(t.loop);
}

static void on_received(struct uring_op *op, int result, bool more, const struct uring_bytes *bytes)
{
	struct uring *uring = loop_uring(t.loop);

	assert_ptr_equal(op, &t.receive);
	if (bytes) {
		assert_int_equal(result, bytes->len);
		if (t.len + bytes->len < sizeof(t.text)) {
			memcpy(t.text + t.len, bytes->data, bytes->len);
			t.len += bytes->len;
		}
		if (t.echo && !uring_send(uring, &t.send, t.ours, bytes)) {
			uring_cork(uring, bytes->buffer);
			assert_int_equal(uring_sent(uring, bytes->buffer).len, bytes->len);
		} else {
			uring_give(uring, bytes->buffer);
		}
	}
	if (!more) {
		t.last_word = result;
		loop_stop(t.loop);
	}
}

/* A listener that is told to stop when it has taken two. */
static struct {
	struct uring_op accept;
	int fds[2];
	int n;
	int last_word;
} l;

static void on_accepted(struct uring_op *op, int result, bool more)
{
	if (result >= 0) {
		assert_in_range(l.n, 0, 1);
		l.fds[l.n++] = result;
	}
	if (l.n == 2 && more)
		assert_int_equal(uring_cancel(loop_uring(t.loop), op), 0);
	if (!more) {
		l.last_word = result;
		assert_int_equal(uring_cancel(loop_uring(t.loop), &t.receive), 0);
	}
}

/* TCP: of a local socket io_uring does not tell that it ended right behind its last bytes. */
static void connect_pair(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(addr);

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	t.peer = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(t.peer, (struct sockaddr *)&addr, len), 0);
	t.ours = accept(listener, NULL, NULL);
	assert_true(t.ours >= 0);
}

static int set_up(void **state)
{
	static const struct uring_handlers handlers = { .received = on_received,
							.sent = on_sent,
							.accepted = on_accepted };
	int err;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.last_word = 1;
	connect_pair();
	assert_int_equal(loop_new(&t.loop), 0);
	err = loop_add_uring(t.loop, &handlers);
	if (err) {
		printf("SKIP: no io_uring for us on this host: %s\n", strerror(-err));
		skip();
	}
	assert_int_equal(loop_enable_uring(t.loop), 0);
	assert_int_equal(uring_receive(loop_uring(t.loop), &t.receive, t.ours), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	loop_free(t.loop);
	if (t.ours >= 0)
		(void)close(t.ours);
	(void)close(t.peer);
	return 0;
}

static void bytes_then_the_end(void **state)
{
	(void)state;
	assert_int_equal(write(t.peer, "one two", 7), 7);
	assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(t.last_word, 0);
	assert_int_equal(t.len, 7);
	assert_memory_equal(t.text, "one two", 7);
	assert_int_equal(uring_pending(loop_uring(t.loop)), 0);
}

static void what_came_goes_out(void **state)
{
	char back[8];

	(void)state;
	t.echo = true;
	assert_int_equal(write(t.peer, "ping", 4), 4);
	assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(t.sent, 4);
	assert_int_equal(read(t.peer, back, sizeof(back)), 4);
	assert_memory_equal(back, "ping", 4);
}

static void memory_of_our_own_goes_out(void **state)
{
	char back[8];

	(void)state;
	assert_int_equal(uring_send_from(loop_uring(t.loop), &t.send, t.ours, "early", 5), 0);
	assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(t.sent, 5);
	assert_int_equal(read(t.peer, back, sizeof(back)), 5);
	assert_memory_equal(back, "early", 5);
}

static void accepts_until_it_is_cancelled(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM, 0);
	_cleanup_close_ int first = socket(AF_INET, SOCK_STREAM, 0);
	_cleanup_close_ int second = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(addr);

	(void)state;
	l.n = 0;
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(listener, 2), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(uring_accept(loop_uring(t.loop), &l.accept, listener), 0);
	assert_int_equal(connect(first, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(connect(second, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.last_word, -ECANCELED);
	for (int i = 0; i < 2; i++) {
		assert_true(fcntl(l.fds[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(l.fds[i], F_GETFD) & FD_CLOEXEC);
		(void)close(l.fds[i]);
	}
}

/* Until not one byte more fits, also after what is on its way has arrived. */
static void fill(int fd)
{
	static char much[MUCH];
	struct pollfd writable = { .fd = fd, .events = POLLOUT };
	bool took;

	do {
		took = false;
		while (send(fd, much, sizeof(much), MSG_DONTWAIT) > 0)
			took = true;
		while (send(fd, much, 1, MSG_DONTWAIT) > 0)
			took = true;
		(void)poll(&writable, 1, 50);
	} while (took);
}

/* Sent is what fits: the rest is reported, not waited for. */
static void a_full_target_is_told(void **state)
{
	(void)state;
	fill(t.ours);
	t.echo = true;
	assert_int_equal(write(t.peer, "ping", 4), 4);
	assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(t.sent, -EAGAIN);
}

/* Epoll's events are handled beside completions; a cancelled receive ends with a word. */
static void cancelled_from_an_epoll_event(void **state)
{
	struct loop_source source = { .fn = stop_on_peer_event };
	uint64_t one = 1;

	(void)state;
	source.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(loop_add(t.loop, &source, EPOLLIN), 0);
	assert_int_equal(write(source.fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(t.last_word, -ECANCELED);
	(void)close(source.fd);
}

static void stop_on_event(struct loop_source *source, uint32_t events)
{
	(void)source;
	(void)events;
	loop_stop(t.loop);
}

/* Refused when the thread takes it over (here for the second time): epoll does everything. */
static void refused_to_the_thread(void **state)
{
	struct loop_source source = { .fn = stop_on_event };

	(void)state;
	assert_int_equal(loop_enable_uring(t.loop), -EACCES);
	assert_null(loop_uring(t.loop));
	source.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(loop_add(t.loop, &source, EPOLLIN), 0);
	assert_int_equal(loop_run(t.loop), 0);
	(void)close(source.fd);
}

/* A stopped loop runs on until everything it asked for has ended. */
static void stopped_with_an_operation_under_way(void **state)
{
	(void)state;
	assert_int_equal(uring_cancel(loop_uring(t.loop), &t.receive), 0);
	loop_stop(t.loop);
	assert_int_equal(loop_run(t.loop), 0);
	assert_int_equal(t.last_word, -ECANCELED);
	assert_int_equal(uring_pending(loop_uring(t.loop)), 0);
}

/* What is not the relay's is refused: seccomp does not see it. */
static void no_operation_of_others(void **state)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	int result = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		sqe = io_uring_get_sqe(ring);
		assert_non_null(sqe);
		if (i == 0)
			io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_WRONLY, 0);
		else if (i == 1)
			io_uring_prep_connect(sqe, t.peer, NULL, 0);
		else
			io_uring_prep_close(sqe, t.peer);
		sqe->user_data = 77;
		(void)io_uring_submit(ring);
		do {
			assert_int_equal(io_uring_wait_cqe(ring, &cqe), 0);
			result = cqe->user_data == 77 ? cqe->res : 0;
			io_uring_cqe_seen(ring, cqe);
		} while (result == 0);
		assert_int_equal(result, -EACCES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_then_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_came_goes_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(memory_of_our_own_goes_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(accepts_until_it_is_cancelled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_target_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancelled_from_an_epoll_event, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_operation_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused_to_the_thread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stopped_with_an_operation_under_way, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
