/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One end of a TCP connection under test: sends a stream it can compute and checks the one it
 * gets, both directions at once, each by a small script. Knows nothing of what is in between.
 *
 *   stream_peer connect|listen ADDR PORT [--tx SCRIPT] [--rx SCRIPT] [--count N] [--parallel N]
 *               [--seed N] [--mss N] [--rcvbuf N] [--sndbuf N] [--bind ADDR] [--netns PATH] [--timeout S]
 *               [--nagle 1] [--gap MS] [--keepalive SECONDS]
 *               [--strip 1: this end takes the PROXY header off itself]
 *
 * A script is words with commas between. tx:
 *   hex:BYTES  hexmore:BYTES (MSG_MORE: in one segment with what follows)
 *   split:BYTES (cut in two, connection n after byte n + 1, the first part acknowledged before
 *   the second goes)  cut:BYTES (the same, but the second goes --gap later, whatever is
 *   acknowledged)  trickle:BYTES (each byte acknowledged before the next goes)
 *   v1  v2 (a PROXY header, client 198.51.x.y:port from the connection's number; v1:1 = MSG_MORE)
 *   data:N[-MAX][/CHUNK]
 *   acked (until the kernel has seen all acknowledged)  rx:N  rxeof  go:N  ms:N  fin  rst  close
 * rx:
 *   data:N  rest (until the end)  flip:READ/MS*COUNT (read, then stop, again and again)
 *   rate:N/PER_SECOND  tx:N  txdone  go:N  ms:N  rst, and what has to come last: eof  aborted (RST)  end (either)
 * N-MAX draws a number per connection. stdin: "go N", "stat", "quit".
 * stdout: one JSON line per connection; "why" is there if anything was not as the script says.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "stream_ops.h"

static void die(const char *what)
{
	fprintf(stderr, "stream_peer: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void addr_text(int fd, int (*get)(int, struct sockaddr *, socklen_t *), char *out,
		      size_t size)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[48] = "?", port[8] = "?";

	if (!get(fd, (struct sockaddr *)&ss, &len))
		getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(out, size, ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void side_run(struct conn *c, struct side *s, const struct script *script,
		     enum want (*run)(struct conn *, const struct op *))
{
	while (s->want != WANT_FINISH) {
		if (s->at >= script->n) {
			s->want = WANT_NOTHING;
			return;
		}
		s->want = run(c, &script->ops[s->at]);
		if (s->want == WANT_NOTHING)
			s->at = script->n; /* the connection is gone under this side */
		if (s->want != WANT_NEXT)
			return;
		s->at++;
		s->entered = false;
	}
}

static void conn_finish(struct conn *c)
{
	static const char *const ends[] = { "open", "eof", "rst" };
	const char *end = ends[c->reset ? 2 : c->eof];

	if (c->rx.bad >= 0)
		complain(c, "wrong byte at %lld", (long long)c->rx.bad);
	close(c->fd);
	printf("{\"n\":%u,\"seed\":\"%016llx\",\"tx\":%llu,\"rx_seed\":\"%016llx\",\"rx\":%llu,"
	       "\"bad\":%lld,"
	       "\"end\":\"%s\",\"local\":\"%s\",\"peer\":\"%s\",\"ms\":%llu%s%s%s}\n",
	       c->number, (unsigned long long)c->seed, (unsigned long long)c->tx_bytes,
	       (unsigned long long)c->rx.seed, (unsigned long long)c->rx.count,
	       (long long)c->rx.bad, end, c->local, c->peer,
	       (unsigned long long)(now_ms() - c->begun_ms), c->why[0] ? ",\"why\":\"" : "", c->why,
	       c->why[0] ? "\"" : "");
	peer.failed += c->why[0] != '\0';
	peer.done++;
	c->used = false;
}

static void conn_watch(struct conn *c)
{
	uint32_t events = (c->rxs.want == WANT_IO ? EPOLLIN : 0) |
			  (c->txs.want == WANT_IO ? EPOLLOUT : 0);
	struct epoll_event ev = { .events = events, .data.ptr = c };

	/* Not in the set at all while nothing is wanted: EPOLLHUP cannot be masked and would spin. */
	if (!events && c->added)
		epoll_ctl(peer.epfd, EPOLL_CTL_DEL, c->fd, NULL);
	else if (events && (!c->added || events != c->events))
		epoll_ctl(peer.epfd, c->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &ev);
	c->added = events != 0;
	c->events = events;
}

static void conn_run(struct conn *c)
{
	if (c->connecting) {
		int err = 0;
		socklen_t len = sizeof(err);

		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err) {
			c->reset = true;
			complain(c, "connect: %s", strerror(err));
			conn_finish(c);
			return;
		}
		c->connecting = false;
		addr_text(c->fd, getsockname, c->local, sizeof(c->local));
	}
	/* Three turns: either side may wait for what the other has just done. */
	for (int turn = 0; turn < 3; turn++) {
		if (turn == 0 || c->txs.want == WANT_OTHER)
			side_run(c, &c->txs, &peer.tx, tx_op);
		if (c->txs.want != WANT_FINISH && (turn == 0 || c->rxs.want == WANT_OTHER))
			side_run(c, &c->rxs, &peer.rx, rx_op);
	}
	if (c->txs.want == WANT_FINISH || c->rxs.want == WANT_FINISH ||
	    (c->txs.want == WANT_NOTHING && c->rxs.want == WANT_NOTHING)) {
		conn_finish(c);
		return;
	}
	conn_watch(c);
}

static void sock_options(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ !peer.nagle }, sizeof(int));
	if (peer.keepalive) {
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &peer.keepalive, sizeof(int));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &peer.keepalive, sizeof(int));
	}
	if (peer.mss)
		setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &peer.mss, sizeof(int));
	if (peer.rcvbuf)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &peer.rcvbuf, sizeof(int));
	if (peer.sndbuf)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &peer.sndbuf, sizeof(int));
}

static struct conn *conn_new(int fd)
{
	struct conn *c = peer.conns;

	while (c->used)
		c++;
	*c = (struct conn){
		.fd = fd, .number = peer.started++, .used = true, .rx.bad = -1, .begun_ms = now_ms()
	};
	c->seed = stream_mix(peer.seed * 1000003 + c->number + (peer.server ? 1ull << 60 : 0));
	c->draw = stream_mix(c->seed);
	return c;
}

static void start_connect(void)
{
	int fd = socket(peer.addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct conn *c;

	if (fd < 0)
		die("socket");
	sock_options(fd);
	if (peer.bind) {
		struct sockaddr_storage ss = { .ss_family = peer.addr.ss_family };

		inet_pton(ss.ss_family, peer.bind,
			  ss.ss_family == AF_INET
				  ? (void *)&((struct sockaddr_in *)&ss)->sin_addr
				  : (void *)&((struct sockaddr_in6 *)&ss)->sin6_addr);
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
		if (bind(fd, (struct sockaddr *)&ss, peer.addr_len) < 0)
			die("bind");
	}
	c = conn_new(fd);
	c->connecting = true;
	addr_text(fd, getsockname, c->local, sizeof(c->local));
	if (connect(fd, (struct sockaddr *)&peer.addr, peer.addr_len) < 0 && errno != EINPROGRESS) {
		complain(c, "connect: %s", strerror(errno));
		conn_finish(c);
		return;
	}
	c->txs.want = WANT_IO; /* writable: connected */
	conn_watch(c);
}

static void accept_all(void)
{
	while (peer.started - peer.done < peer.parallel && peer.started < peer.count) {
		int fd = accept4(peer.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct conn *c;

		if (fd < 0)
			return;
		sock_options(fd);
		c = conn_new(fd);
		addr_text(fd, getsockname, c->local, sizeof(c->local));
		addr_text(fd, getpeername, c->peer, sizeof(c->peer));
		conn_run(c);
	}
}

static void start_listen(void)
{
	int fd = socket(peer.addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char text[64];

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	sock_options(fd);
	if (bind(fd, (struct sockaddr *)&peer.addr, peer.addr_len) < 0 || listen(fd, 4096) < 0)
		die("listen");
	peer.listen_fd = fd;
	epoll_ctl(peer.epfd, EPOLL_CTL_ADD, fd,
		  &(struct epoll_event){ .events = EPOLLIN, .data.ptr = &peer });
	addr_text(fd, getsockname, text, sizeof(text));
	printf("{\"event\":\"listening\",\"address\":\"%s\"}\n", text);
}

static void run_all(bool ticked_only)
{
	for (unsigned i = 0; i < peer.parallel; i++) {
		struct conn *c = &peer.conns[i];

		if (c->used && !c->connecting &&
		    (!ticked_only || c->txs.want == WANT_TICK || c->rxs.want == WANT_TICK))
			conn_run(c);
	}
}

static bool wants_tick(void)
{
	for (unsigned i = 0; i < peer.parallel; i++)
		if (peer.conns[i].used &&
		    (peer.conns[i].txs.want == WANT_TICK || peer.conns[i].rxs.want == WANT_TICK))
			return true;
	return false;
}

static void command(char *line)
{
	if (!strncmp(line, "go ", 3)) {
		peer.go = strtoull(line + 3, NULL, 0);
		run_all(false);
	} else if (!strcmp(line, "stat")) {
		printf("{\"event\":\"stat\",\"started\":%u,\"done\":%u,\"tx\":%llu,\"rx\":%llu}\n",
		       peer.started, peer.done, (unsigned long long)peer.tx_total,
		       (unsigned long long)peer.rx_total);
	} else if (!strcmp(line, "quit")) {
		peer.quit = true;
	}
}

static void commands(void)
{
	static char text[4096];
	static size_t held;
	ssize_t n = read(0, text + held, sizeof(text) - 1 - held);
	char *end;

	if (n <= 0) {
		epoll_ctl(peer.epfd, EPOLL_CTL_DEL, 0, NULL);
		peer.quit |= peer.server;
		return;
	}
	held += (size_t)n;
	text[held] = '\0';
	while ((end = strchr(text, '\n'))) {
		*end = '\0';
		command(text);
		held -= (size_t)(end + 1 - text);
		memmove(text, end + 1, held + 1);
	}
}

static void give_up(void)
{
	for (unsigned i = 0; i < peer.parallel; i++) {
		struct conn *c = &peer.conns[i];

		if (!c->used)
			continue;
		complain(c, "%s in tx word %zu, rx word %zu (%llu bytes read)",
			 peer.quit ? "quit" : "TIMEOUT", c->txs.at, c->rxs.at,
			 (unsigned long long)c->rx.count);
		conn_finish(c);
	}
}

static void loop(void)
{
	uint64_t deadline = now_ms() + (uint64_t)peer.timeout_s * 1000, ticked = 0;
	struct epoll_event events[256];

	while (peer.done < peer.count && !peer.quit && now_ms() < deadline) {
		int n;

		while (!peer.server && peer.started < peer.count &&
		       peer.started - peer.done < peer.parallel)
			start_connect();
		n = epoll_wait(peer.epfd, events, ARRAY_SIZE(events), wants_tick() ? 1 : 100);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &peer)
				accept_all();
			else if (events[i].data.ptr)
				conn_run(events[i].data.ptr);
			else
				commands();
		}
		if (now_ms() != ticked)
			run_all(true);
		ticked = now_ms();
		if (peer.server)
			accept_all();
		fflush(stdout);
	}
	give_up();
}

static void parse_address(const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV },
			*ai;

	if (getaddrinfo(host, port, &hints, &ai)) {
		fprintf(stderr, "stream_peer: bad address %s %s\n", host, port);
		exit(2);
	}
	memcpy(&peer.addr, ai->ai_addr, ai->ai_addrlen);
	peer.addr_len = ai->ai_addrlen;
	freeaddrinfo(ai);
}

static void enter_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(path);
	close(fd);
}

static void parse_option(const char *name, const char *value)
{
	const struct {
		const char *name;
		int *to;
	} numbers[] = {
		{ "--count", (int *)&peer.count },
		{ "--parallel", (int *)&peer.parallel },
		{ "--mss", &peer.mss },
		{ "--rcvbuf", &peer.rcvbuf },
		{ "--sndbuf", &peer.sndbuf },
		{ "--timeout", &peer.timeout_s },
		{ "--gap", &peer.gap_ms },
		{ "--nagle", &peer.nagle },
		{ "--strip", &peer.strip },
		{ "--keepalive", &peer.keepalive },
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!strcmp(name, numbers[i].name)) {
			*numbers[i].to = atoi(value);
			return;
		}
	if (!strcmp(name, "--seed"))
		peer.seed = strtoull(value, NULL, 0);
	else if (!strcmp(name, "--bind"))
		peer.bind = value;
	else if (!strcmp(name, "--netns"))
		enter_netns(value);
	else if (strcmp(name, "--tx") && strcmp(name, "--rx"))
		errno = EINVAL, die(name);
	else if (script_parse(name[2] == 't' ? &peer.tx : &peer.rx, value) < 0)
		exit(2);
}

int main(int argc, char **argv)
{
	struct rlimit files;

	if (argc < 4 || argc % 2) {
		fprintf(stderr,
			"usage: stream_peer connect|listen ADDR PORT [--option VALUE]...\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	peer.server = !strcmp(argv[1], "listen");
	parse_address(argv[2], argv[3]);
	for (int i = 4; i + 1 < argc; i += 2)
		parse_option(argv[i], argv[i + 1]);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	peer.conns = calloc(peer.parallel, sizeof(*peer.conns));
	peer.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!peer.conns || peer.epfd < 0)
		die("start");
	epoll_ctl(peer.epfd, EPOLL_CTL_ADD, 0, &(struct epoll_event){ .events = EPOLLIN });
	if (peer.server)
		start_listen();
	fflush(stdout);
	loop();
	fflush(stdout);
	return peer.failed || peer.done < peer.count;
}
