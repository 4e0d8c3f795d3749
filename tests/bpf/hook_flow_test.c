// SPDX-License-Identifier: BSD-2-Clause
/*
 * The inline engine's address hook: flows written by hand, connections whose first sequence
 * number is chosen (TCP_REPAIR), so that nothing of the engine itself is needed.
 */
#include "hooks.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/wait.h>

#include <bpf/bpf.h>

#include "base/socket.h"
#include "unproxy/flow_abi.h"

#define CLIENT4 "192.0.2.7:4711"
#define CLIENT6 "[2001:db8::7]:4711"
#define ISN 0xfffffffeU /* numbers wrap */

static int flows = -1, aliases = -1;

static struct kern_hook *open_inline(void)
{
	return hook_open(&(struct kern_hook_params){
		.engine = KERN_HOOK_INLINE, .flows_fd = flows, .aliases_fd = aliases });
}

static int set_up(void **state)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);

	flows = bpf_map_create(BPF_MAP_TYPE_HASH, "flows", sizeof(struct up_flow_key),
			       sizeof(struct up_flow), 64, &opts);
	assert_return_code(flows, errno);
	aliases = bpf_map_create(BPF_MAP_TYPE_HASH, "aliases", sizeof(struct up_flow_key),
				 sizeof(uint32_t), 64, &opts);
	assert_return_code(aliases, errno);
	hook = open_inline();
	return 0;
}

static int tear_down(void **state)
{
	kern_hook_close(hook);
	hook = NULL;
	assert_int_equal(kern_hook_remove(HOOK_TEST_PINS), 0);
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 0);
	assert_int_equal(access(HOOK_TEST_PINS, F_OK), -1);
	cleanup_close(&flows);
	cleanup_close(&aliases);
	return 0;
}

/* A bound socket whose SYN will have that number. */
static int socket_with_isn(const struct up_addr *server, uint32_t isn)
{
	struct up_addr any = addr_of(server->family == UP_FAMILY_IPV4 ? "127.0.0.1:0" : "[::1]:0");
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&any, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(bind(fd, (struct sockaddr *)&sa, len), errno);
	assert_int_equal(socket_set_int(fd, IPPROTO_TCP, TCP_REPAIR, 1), 0);
	assert_int_equal(socket_set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE), 0);
	assert_int_equal(socket_set_int(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, (int)isn), 0);
	assert_int_equal(socket_set_int(fd, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP), 0);
	return fd;
}

struct flow_case {
	const char *listen;
	bool both;
	const char *client; /* NULL: the header named none */
	uint32_t seq_start;
	uint16_t state;
	uint16_t wire_port; /* 0: the app's own */
	bool told;
};

static void write_flow(const struct flow_case *c, const struct up_addr *server, int fd)
{
	struct up_addr balancer = local_of(fd);
	struct up_flow_key key = { .remote_port = balancer.port, .local_port = server->port };
	struct up_flow flow = { .seq_start = c->seq_start, .app_port = server->port };
	uint32_t wire = c->wire_port;

	memcpy(key.remote_ip, balancer.ip, sizeof(key.remote_ip));
	memcpy(key.local_ip, server->ip, sizeof(key.local_ip));
	flow.state = c->state;
	if (c->client)
		flow.client = addr_of(c->client);
	if (wire) {
		assert_int_equal(bpf_map_update_elem(aliases, &key, &wire, BPF_ANY), 0);
		key.local_port = c->wire_port;
	}
	assert_int_equal(bpf_map_update_elem(flows, &key, &flow, BPF_ANY), 0);
}

/* Returns the accepted socket. */
static int run_case(const struct flow_case *c)
{
	struct up_addr server, peer;
	_cleanup_close_ int listener = listen_on(c->listen, c->both, &server);
	_cleanup_close_ int fd = socket_with_isn(&server, ISN);
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(&server, &sa);
	int accepted;

	write_flow(c, &server, fd);
	assert_return_code(connect(fd, (struct sockaddr *)&sa, len), errno);
	accepted = accept_from(listener, &peer);
	if (c->told)
		assert_addr(peer, c->client);
	else
		assert_same_addr(peer, local_of(fd));
	assert_same_addr(peer_of(accepted), peer);
	return accepted;
}

static void every_flow(void **state)
{
	static const struct flow_case cases[] = {
		{ "127.0.0.1", false, CLIENT4, ISN + 1, UP_FLOW_OPEN, 0, true },
		{ "[::1]", false, CLIENT6, ISN + 1, UP_FLOW_OPEN, 0, true },
		{ "[::1]", false, CLIENT4, ISN + 1, UP_FLOW_OPEN, 0, true },
		{ "127.0.0.1", true, CLIENT4, ISN + 1, UP_FLOW_OPEN, 0, true },
		{ "127.0.0.1", true, CLIENT6, ISN + 1, UP_FLOW_OPEN, 0, true },
		{ "127.0.0.1", false, CLIENT4, ISN + 1, UP_FLOW_OPEN, 80, true },
		{ "[::1]", false, CLIENT6, ISN + 1, UP_FLOW_OPEN, 80, true },
		/* not to be shown */
		{ "127.0.0.1", false, CLIENT6, ISN + 1, UP_FLOW_OPEN, 0, false },
		{ "127.0.0.1", false, NULL, ISN + 1, UP_FLOW_OPEN, 0, false },
		/* not this connection's */
		{ "127.0.0.1", false, CLIENT4, ISN + 2, UP_FLOW_OPEN, 0, false },
		{ "127.0.0.1", false, CLIENT4, ISN + 2, UP_FLOW_OPEN, 80, false },
		/* never open: the app's host must not have had it */
		{ "127.0.0.1", false, CLIENT4, ISN + 1, UP_FLOW_HEADER, 0, false },
	};
	struct up_hook_stats stats;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		(void)close(run_case(&cases[i]));
	assert_int_equal(kern_hook_stats(hook, &stats), 0);
	assert_int_equal(stats.shown, 7);
	assert_int_equal(stats.ipv6_on_ipv4, 1);
}

static const struct flow_case told = { "127.0.0.1", false, CLIENT4, ISN + 1, UP_FLOW_OPEN, 0, true };

/* Without a daemon it goes on; the next daemon takes it over. */
static void outlives_the_daemon(void **state)
{
	_cleanup_close_ int before = run_case(&told), without = -1, after = -1;

	kern_hook_close(hook);
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 1);
	assert_addr(peer_of(before), CLIENT4);
	without = run_case(&told);
	hook = open_inline();
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 1);
	assert_int_equal(attached(BPF_CGROUP_INET4_GETPEERNAME), 1);
	assert_int_equal(attached(BPF_CGROUP_INET6_GETPEERNAME), 1);
	after = run_case(&told);
	assert_addr(peer_of(before), CLIENT4);
	assert_addr(peer_of(without), CLIENT4);
}

static void one_daemon_at_a_time(void **state)
{
	struct kern_hook_params params = { .engine = KERN_HOOK_INLINE,
					   .flows_fd = flows,
					   .aliases_fd = aliases,
					   .pin_root = HOOK_TEST_PINS,
					   .cgroup = hook_cgroup_path };
	struct kern_hook *second = NULL;
	char why[384];

	assert_int_equal(kern_hook_open(&params, &second, why, sizeof(why)), -EBUSY);
	assert_null(second);
	(void)close(run_case(&told));
}

/* `unproxy detach`, a daemon being there or not: no program of ours is left. */
static void removed_under_a_daemon(void **state)
{
	_cleanup_close_ int before = run_case(&told);

	assert_int_equal(kern_hook_remove(HOOK_TEST_PINS), 0);
	assert_int_equal(attached(BPF_CGROUP_SOCK_OPS), 0);
	assert_int_equal(attached(BPF_CGROUP_INET4_GETPEERNAME), 0);
	assert_int_equal(access(HOOK_TEST_PINS, F_OK), -1);
	assert_int_equal(kern_hook_remove(HOOK_TEST_PINS), 0); /* nothing there */
}

/* Relay and inline in one daemon: two hooks, each with its own sockets. */
static void beside_the_relays(void **state)
{
	struct kern_hook *flow_hook = hook, *relay = hook_open_relay();
	struct up_addr server, peer;
	_cleanup_close_ int listener = listen_on("127.0.0.1", false, &server);
	_cleanup_close_ int fd = -1, accepted = -1, mine = -1;

	hook = relay;
	fd = connect_for(&server, "198.51.100.1:1");
	hook = flow_hook;
	accepted = accept_from(listener, &peer);
	assert_addr(peer, "198.51.100.1:1");
	mine = run_case(&told);
	kern_hook_close(relay);
	assert_addr(peer_of(mine), CLIENT4);
	(void)close(run_case(&told));
}

#define hook_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		hook_test(every_flow),           hook_test(outlives_the_daemon),
		hook_test(one_daemon_at_a_time), hook_test(removed_under_a_daemon),
		hook_test(beside_the_relays),
	};

	return cmocka_run_group_tests(tests, hooks_set_up, hooks_tear_down);
}
