// SPDX-License-Identifier: BSD-2-Clause
/* The relay's address hook over real connections: whom it tells what, and whom nothing. */
#include "hooks.h"

#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/wait.h>

#include "base/socket.h"

#define CLIENT4 "192.0.2.7:4711"
#define CLIENT6 "[2001:db8::7]:4711"

struct shown {
	const char *listen;
	bool both; /* a dual-stack listener */
	const char *client;
	bool told;
};

/* It wants the length to be the address's own. */
static int so_peername(int fd, bool ipv6, struct up_addr *ret)
{
	struct sockaddr_storage sa;
	socklen_t len = ipv6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &sa, &len) < 0)
		return -errno;
	addr_from_sockaddr(ret, (struct sockaddr *)&sa);
	return 0;
}

static void every_family(void **state)
{
	static const struct shown cases[] = {
		{ "127.0.0.1", false, CLIENT4, true }, { "[::1]", false, CLIENT6, true },
		{ "127.0.0.1", true, CLIENT4, true },  { "127.0.0.1", true, CLIENT6, true },
		{ "[::1]", false, CLIENT4, true },     { "127.0.0.1", false, CLIENT6, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct up_addr server, peer, name;
		_cleanup_close_ int listener = listen_on(cases[i].listen, cases[i].both, &server);
		_cleanup_close_ int fd = connect_for(&server, cases[i].client);
		_cleanup_close_ int accepted = accept_from(listener, &peer);
		struct up_addr want = cases[i].told ? addr_of(cases[i].client) : local_of(fd);

		assert_same_addr(peer, want);
		assert_same_addr(peer_of(accepted), want);
		assert_int_equal(so_peername(accepted, cases[i].both || *cases[i].listen == '[',
					     &name),
				 0);
		assert_same_addr(name, want);
		/* Our own end still knows where it is connected to. */
		assert_same_addr(peer_of(fd), server);
	}
	assert_int_equal(hook_stats_now().announced, 6);
	assert_int_equal(hook_stats_now().shown, 5);
	assert_int_equal(hook_stats_now().ipv6_on_ipv4, 1);
	assert_int_equal(handshakes(), 0);
}

/* What the app gets on a dual-stack socket is what it would without us: a mapped address. */
static void ipv4_is_mapped_on_ipv6_sockets(void **state)
{
	struct up_addr server;
	_cleanup_close_ int listener = listen_on("127.0.0.1", true, &server);
	_cleanup_close_ int fd = connect_for(&server, CLIENT4);
	struct sockaddr_in6 sa = { 0 };
	socklen_t len = sizeof(sa);
	_cleanup_close_ int accepted = accept(listener, (struct sockaddr *)&sa, &len);

	assert_return_code(fd, errno);
	assert_return_code(accepted, errno);
	assert_int_equal(sa.sin6_family, AF_INET6);
	assert_int_equal(len, sizeof(sa));
	assert_true(IN6_IS_ADDR_V4MAPPED(&sa.sin6_addr));
	assert_memory_equal(&sa.sin6_addr.s6_addr[12], "\xc0\x00\x02\x07", 4);
	assert_int_equal(ntohs(sa.sin6_port), 4711);
}

static void io_uring_accepts(void **state)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct up_addr server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);
	_cleanup_close_ int fd = -1;
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	if (io_uring_queue_init(4, &ring, 0) < 0)
		skip();
	io_uring_prep_accept(io_uring_get_sqe(&ring), listener, (struct sockaddr *)&sa, &len, 0);
	assert_int_equal(io_uring_submit(&ring), 1);
	fd = connect_for(&server, CLIENT4);
	assert_int_equal(io_uring_wait_cqe(&ring, &cqe), 0);
	assert_true(cqe->res >= 0);
	(void)close(cqe->res);
	addr_from_sockaddr(&peer, (struct sockaddr *)&sa);
	assert_addr(peer, CLIENT4);
	io_uring_queue_exit(&ring);
}

static void others_are_left_alone(void **state)
{
	struct up_addr client = addr_of(CLIENT4), server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);
	_cleanup_close_ int plain = socket_for(&server), named = socket_for(&server);
	_cleanup_close_ int accepted = -1;

	/* Cookies that follow each other: the other's place is looked at, too. */
	assert_true(socket_cookie(plain) != 0);
	/* A name that waits for its socket is no other socket's. */
	(void)kern_hook_announce(hook, socket_cookie(named), &client);
	assert_int_equal(socket_start(plain, &server, false), 0);
	accepted = accept_from(listener, &peer);
	assert_same_addr(peer, local_of(plain));
	cleanup_close(&accepted);
	assert_int_equal(socket_start(named, &server, false), 0);
	accepted = accept_from(listener, &peer);
	assert_addr(peer, CLIENT4);
	assert_int_equal(hook_stats_now().announced, 1);
}

static void taken_back(void **state)
{
	struct up_addr client = addr_of(CLIENT4), server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);
	_cleanup_close_ int fd = socket_for(&server), accepted = -1;
	uint64_t cookie = socket_cookie(fd);

	kern_hook_hush(kern_hook_announce(hook, cookie, &client), cookie);
	assert_int_equal(socket_start(fd, &server, false), 0);
	accepted = accept_from(listener, &peer);
	assert_same_addr(peer, local_of(fd));
	kern_hook_hush(NULL, 0); /* there was no place */
}

/* The places are few. Each is found again, and given up by connect() or by hush(). */
static void places(void **state)
{
	static struct up_intent *taken[UP_INTENTS + 1];
	struct up_addr client = addr_of(CLIENT4), server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);

	for (uint64_t cookie = 1; cookie <= UP_INTENTS; cookie++) {
		taken[cookie] = kern_hook_announce(hook, cookie, &client);
		assert_non_null(taken[cookie]);
	}
	assert_null(kern_hook_announce(hook, UP_INTENTS + 1, &client));
	kern_hook_hush(taken[5], 6); /* not its place */
	assert_null(kern_hook_announce(hook, UP_INTENTS + 5, &client));
	kern_hook_hush(taken[8], 8);
	assert_ptr_equal(kern_hook_announce(hook, UP_INTENTS + 5, &client), taken[8]);
	kern_hook_hush(taken[8], UP_INTENTS + 5);
	for (uint64_t cookie = 1; cookie <= UP_INTENTS; cookie++)
		kern_hook_hush(taken[cookie], cookie);
	for (unsigned i = 0; i < 2 * UP_INTENTS; i++) {
		_cleanup_close_ int fd = connect_for(&server, CLIENT4);
		_cleanup_close_ int accepted = accept_from(listener, &peer);

		assert_addr(peer, CLIENT4);
	}
}

struct late {
	int fd;
	struct up_addr server;
};

static void *connect_late(void *arg)
{
	struct late *late = arg;

	return (void *)(intptr_t)socket_start(late->fd, &late->server, false);
}

/* The client is the socket's, whoever connects it, and whatever was announced meanwhile. */
static void client_belongs_to_the_socket(void **state)
{
	struct up_addr server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);
	_cleanup_close_ int fd = socket_named(&server, CLIENT4), other = -1, accepted = -1;
	struct late late = { .fd = fd, .server = server };
	pthread_t thread;
	void *ret;

	other = connect_for(&server, "198.51.100.1:1");
	accepted = accept_from(listener, &peer);
	assert_addr(peer, "198.51.100.1:1");
	assert_int_equal(pthread_create(&thread, NULL, connect_late, &late), 0);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_null(ret);
	cleanup_close(&accepted);
	accepted = accept_from(listener, &peer);
	assert_addr(peer, CLIENT4);
}

/* Several connects in one submission, some of them by a thread of the kernel's. */
static void io_uring_connects(void **state)
{
	struct up_addr server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&server, &sa);
	bool seen[16] = { false };
	int fds[ARRAY_SIZE(seen)];
	struct io_uring ring;

	if (io_uring_queue_init(ARRAY_SIZE(fds), &ring, 0) < 0)
		skip();
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
		char client[ADDR_TEXT_MAX];

		snprintf(client, sizeof(client), "192.0.2.%u:%u", i, i + 1);
		fds[i] = socket_named(&server, client);
		io_uring_prep_connect(sqe, fds[i], (struct sockaddr *)&sa, len);
		sqe->flags |= i % 2 ? IOSQE_ASYNC : 0;
	}
	assert_int_equal(io_uring_submit(&ring), ARRAY_SIZE(fds));
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		_cleanup_close_ int accepted = accept_from(listener, &peer);
		unsigned n = peer.port - 1U;

		assert_true(n < ARRAY_SIZE(seen) && !seen[n]);
		assert_int_equal(peer.ip[15], n);
		seen[n] = true;
		/* and it is that very connection */
		assert_int_equal(send(fds[n], &n, sizeof(n), 0), sizeof(n));
		assert_int_equal(recv(accepted, &n, sizeof(n), 0), sizeof(n));
		assert_int_equal(n, peer.port - 1U);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
	io_uring_queue_exit(&ring);
}

static void failed_connects_leave_nothing(void **state)
{
	struct up_addr server;
	int listener = listen_on("127.0.0.1", false, &server);
	int fd;

	cleanup_close(&listener); /* nobody is there: refused */
	fd = connect_for(&server, CLIENT4);
	if (fd >= 0)
		cleanup_close(&fd);
	assert_int_equal(handshakes(), 0);
	server = addr_of("240.0.0.1:9"); /* no route: refused by connect() itself */
	fd = connect_for(&server, CLIENT4);
	if (fd >= 0)
		cleanup_close(&fd);
	assert_int_equal(handshakes(), 0);
}

/* Its sockets are not in our cgroup: as a server on another host, nobody tells it. */
static void serve_elsewhere(int ready)
{
	struct up_addr server, peer;
	int listener, accepted;
	char byte;

	if (hooks_leave())
		_exit(2);
	listener = listen_on("127.0.0.1", false, &server);
	if (write(ready, &server, sizeof(server)) != sizeof(server))
		_exit(3);
	accepted = accept_from(listener, &peer);
	while (recv(accepted, &byte, 1, 0) == 1 && send(accepted, &byte, 1, 0) == 1)
		;
	_exit(addr_equal(&peer, &(struct up_addr){ 0 }) ? 4 : 0);
}

/* The entry stays as long as our end does, whatever has moved, and goes with it. */
static void server_elsewhere(void **state)
{
	struct up_addr server;
	int status, fd, pipes[2];
	char byte = 'x';
	pid_t pid;

	assert_return_code(pipe(pipes), errno);
	pid = fork();
	if (pid == 0)
		serve_elsewhere(pipes[1]);
	assert_int_equal(read(pipes[0], &server, sizeof(server)), sizeof(server));
	fd = connect_for(&server, CLIENT4);
	assert_return_code(fcntl(fd, F_SETFL, 0), errno);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(send(fd, &byte, 1, 0), 1);
		assert_int_equal(recv(fd, &byte, 1, 0), 1);
	}
	assert_int_equal(handshakes(), 1);
	cleanup_close(&fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	wait_for_no_handshake();
	assert_int_equal(hook_stats_now().collected, 1);
	assert_int_equal(hook_stats_now().shown, 0);
	cleanup_close(&pipes[0]);
	cleanup_close(&pipes[1]);
}

/* The server's queues are full: some are established with us alone, some SYNs unanswered. */
static void unanswered_connects_leave_nothing(void **state)
{
	struct up_addr server = addr_of("127.0.0.1:0");
	int listener = socket_listen(&server, 0), fds[8];

	server = local_of(listener);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_for(&server, CLIENT4);
		assert_true(fds[i] >= 0);
	}
	assert_true(handshakes() > 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		cleanup_close(&fds[i]);
	cleanup_close(&listener);
	wait_for_no_handshake();
	assert_true(hook_stats_now().collected > 0);
}

/* A full accept queue: the server is not established although we are; and when we have gone
 * away in the meantime, it is still told. */
static void late_accept(void **state)
{
	struct up_addr server = addr_of("127.0.0.1:0"), peer;
	_cleanup_close_ int listener = socket_listen(&server, 0);
	int fds[4];

	assert_return_code(fcntl(listener, F_SETFL, 0), errno);
	server = local_of(listener);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		char client[ADDR_TEXT_MAX];

		snprintf(client, sizeof(client), "192.0.2.1:%u", i + 1);
		fds[i] = connect_for(&server, client);
		assert_true(fds[i] >= 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		cleanup_close(&fds[i]);
	{
		_cleanup_close_ int accepted = accept_from(listener, &peer);

		assert_addr(peer, "192.0.2.1:1");
	}
}

static void many_connections(void **state)
{
	struct up_addr server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);

	for (unsigned i = 0; i < 2000; i++) {
		char client[ADDR_TEXT_MAX];
		int fd, accepted;

		snprintf(client, sizeof(client), "10.0.%u.%u:%u", i >> 8, i & 255, i + 1);
		fd = connect_for(&server, client);
		accepted = accept_from(listener, &peer);
		assert_addr(peer, client);
		cleanup_close(&fd);
		cleanup_close(&accepted);
	}
	wait_for_no_handshake();
	assert_int_equal(hook_stats_now().shown, 2000);
}

#define hook_test(name) cmocka_unit_test_setup_teardown(name, hook_set_up, hook_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		hook_test(every_family),
		hook_test(ipv4_is_mapped_on_ipv6_sockets),
		hook_test(io_uring_accepts),
		hook_test(others_are_left_alone),
		hook_test(taken_back),
		hook_test(places),
		hook_test(client_belongs_to_the_socket),
		hook_test(io_uring_connects),
		hook_test(failed_connects_leave_nothing),
		hook_test(server_elsewhere),
		hook_test(unanswered_connects_leave_nothing),
		hook_test(late_accept),
		hook_test(many_connections),
	};

	return cmocka_run_group_tests(tests, hooks_set_up, hooks_tear_down);
}
