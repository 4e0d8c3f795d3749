/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets between two daemons, over a socket pair: bodies, descriptors, what is none of ours. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/socket.h"
#include "takeover/message.h"

static int pair[2];
static uint8_t buf[MESSAGE_MAX];

static int open_pair(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
}

static int close_pair(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += dup2(fd, fd) == fd;
	return n;
}

static void body_and_descriptors_arrive(void **state)
{
	struct writer w = message_begin(TAKEOVER_LISTENER, buf, sizeof(buf));
	int before = count_fds(), fds[2], taken;
	struct message message;
	char text[8];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	write_text(&w, "seven");
	write_u64(&w, 7);
	assert_int_equal(message_send(pair[0], &w, buf, fds, 2), 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), 0);
	assert_int_equal(message.kind, TAKEOVER_LISTENER);
	read_text(&message.body, text, sizeof(text));
	assert_string_equal(text, "seven");
	assert_int_equal(read_u64(&message.body), 7);
	assert_false(message.body.overrun);
	assert_int_equal(message.n_fds, 2);
	taken = message_take(&message, 1);
	assert_true(taken >= 0);
	assert_int_equal(message_take(&message, 2), -1);
	message_close(&message);
	assert_int_equal(write(taken, "x", 1), -1); /* its reader went with message_close() */
	close(taken);
	assert_int_equal(count_fds(), before);
}

/* What is looked at stays, descriptors and all, however often. */
static void peeking_takes_nothing(void **state)
{
	int before = count_fds(), fd = dup(STDERR_FILENO);
	struct message message;

	(void)state;
	for (uint8_t n = 0; n < 3; n++) {
		struct writer w = message_begin(TAKEOVER_LISTENER, buf, sizeof(buf));

		write_u8(&w, n);
		assert_int_equal(message_send(pair[0], &w, buf, &fd, 1), 0);
	}
	(void)close(fd);
	(void)shutdown(pair[0], SHUT_WR);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(socket_set_int(pair[1], SOL_SOCKET, SO_PEEK_OFF, 0), 0);
		for (uint8_t n = 0; n < 3; n++) {
			assert_int_equal(message_peek(pair[1], buf, sizeof(buf), &message), 0);
			assert_int_equal(message.n_fds, 1);
			assert_int_equal(read_u8(&message.body), n);
			message_close(&message);
		}
		assert_int_equal(message_peek(pair[1], buf, sizeof(buf), &message), -ENOTCONN);
	}
	for (uint8_t n = 0; n < 3; n++) {
		assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), 0);
		assert_int_equal(read_u8(&message.body), n);
		message_close(&message);
	}
	assert_int_equal(count_fds(), before);
}

static void more_descriptors_than_asked_for_leave_none(void **state)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(9 * sizeof(int))] = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int before = count_fds();
	struct message message;

	(void)state;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(9 * sizeof(int));
	for (int i = 0; i < 9; i++)
		((int *)CMSG_DATA(cmsg))[i] = STDERR_FILENO;
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -EBADMSG);
	assert_int_equal(count_fds(), before);
}

static void what_is_none_of_ours_is_refused(void **state)
{
	struct writer w = message_begin(TAKEOVER_HELLO, buf, sizeof(buf));
	struct message message;

	(void)state;
	assert_int_equal(send(pair[0], "GET / HTTP/1.1", 14, 0), 14);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -EBADMSG);
	assert_int_equal(send(pair[0], "x", 1, 0), 1);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -EBADMSG);
	assert_int_equal(message_send_word(pair[0], TAKEOVER__MAX), 0);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -EBADMSG);
	assert_int_equal(message_send_word(pair[0], 0), 0);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -EBADMSG);
	for (int i = 0; i < 100; i++)
		write_u64(&w, 1);
	assert_int_equal(message_send(pair[0], &w, buf, NULL, 0), 0);
	assert_int_equal(message_receive(pair[1], buf, 100, &message), -EBADMSG); /* cut */
}

static void none_there_and_nobody_there_differ(void **state)
{
	struct message message;

	(void)state;
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -EAGAIN);
	assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -ENOTCONN);
}

/* What lets one end know for certain which of the other's words were heard. */
static void words_after_shutdown_are_refused_and_those_before_kept(void **state)
{
	struct message message;

	(void)state;
	assert_int_equal(message_send_word(pair[0], TAKEOVER_TAKEN), 0);
	assert_int_equal(shutdown(pair[1], SHUT_RD), 0);
	assert_int_equal(message_send_word(pair[0], TAKEOVER_TAKEN), -EPIPE);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), 0);
	assert_int_equal(message.kind, TAKEOVER_TAKEN);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -ENOTCONN);
}

static void last_words_of_one_that_did_not_listen_are_heard(void **state)
{
	struct message message;

	(void)state;
	assert_int_equal(message_send_word(pair[1], TAKEOVER_HELLO), 0); /* unread */
	assert_int_equal(message_send_word(pair[0], TAKEOVER_REFUSED), 0);
	close(pair[0]);
	pair[0] = -1;
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), 0);
	assert_int_equal(message.kind, TAKEOVER_REFUSED);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -ENOTCONN);
}

static void a_full_socket_takes_nothing(void **state)
{
	struct message message;
	int sent = 0;

	(void)state;
	while (message_send_word(pair[0], TAKEOVER_TAKEN) == 0)
		sent++;
	assert_true(sent > 64);
	assert_int_equal(message_send_word(pair[0], TAKEOVER_TAKEN), -EAGAIN);
	for (; sent; sent--)
		assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), 0);
	assert_int_equal(message_receive(pair[1], buf, sizeof(buf), &message), -EAGAIN);
}

static void long_paths_are_refused(void **state)
{
	struct sockaddr_un sa;
	char path[200] = { 0 };

	(void)state;
	memset(path, 'x', sizeof(sa.sun_path) - 1);
	assert_int_equal(socket_path(path, &sa), 0);
	assert_string_equal(sa.sun_path, path);
	memset(path, 'x', sizeof(sa.sun_path));
	assert_int_equal(socket_path(path, &sa), -ENAMETOOLONG);
	assert_true(message_peer_is_ours(pair[0]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(body_and_descriptors_arrive),
		TEST(peeking_takes_nothing),
		TEST(more_descriptors_than_asked_for_leave_none),
		TEST(what_is_none_of_ours_is_refused),
		TEST(none_there_and_nobody_there_differ),
		TEST(words_after_shutdown_are_refused_and_those_before_kept),
		TEST(last_words_of_one_that_did_not_listen_are_heard),
		TEST(a_full_socket_takes_nothing),
		TEST(long_paths_are_refused),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
