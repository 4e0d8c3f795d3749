/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of all keys: what they are called and may be. How a row takes its value is conf/set. */
#include "conf/keys.h"

#include <string.h>

#include "base/cleanup.h"
#include "conf/conf.h"
#include "conf/value.h"

#define U(field) .section = KEY_UNPROXY, .offset = offsetof(struct conf, field)
#define L(field) .section = KEY_LISTENER, .offset = offsetof(struct conf_listener, field)
#define B(field) .section = KEY_BACKEND, .offset = offsetof(struct conf_backend, field)

#define MINUTE 60000u
#define HOUR (60 * MINUTE)

const char *const key_sections[KEY_SECTION__MAX] = {
	[KEY_UNPROXY] = "unproxy",
	[KEY_LISTENER] = "listener",
	[KEY_BACKEND] = "backend",
};

static const struct key_word log_formats[] = {
	{ "json", CONF_LOG_JSON, false },
	{ "text", CONF_LOG_TEXT, false },
	{ 0 },
};

static const struct key_word engines[] = {
	{ "relay", CONF_ENGINE_RELAY, false },
	{ "inline", CONF_ENGINE_INLINE, false },
	{ 0 },
};

static const struct key_word untrusted[] = {
	{ "reset", CONF_UNTRUSTED_RESET, false },
	{ "pass", CONF_UNTRUSTED_PASS, false },
	{ 0 },
};

static const struct key_word headers[] = {
	{ "require", CONF_HEADER_REQUIRE, false },
	{ "optional", CONF_HEADER_OPTIONAL, false },
	{ 0 },
};

static const struct key_word kernel_paths[] = {
	{ "auto", CONF_KERNEL_AUTO, false },
	{ "always", CONF_KERNEL_ALWAYS, false },
	{ "off", CONF_KERNEL_OFF, false },
	{ 0 },
};

static const struct key_word balances[] = {
	{ "roundrobin", CONF_BALANCE_ROUNDROBIN, false },
	{ "leastconn", CONF_BALANCE_LEASTCONN, false },
	{ "source", 0, true },
	{ 0 },
};

static const struct key_word client_addresses[] = {
	{ "hook", CONF_CLIENT_HOOK, false },
	{ "none", CONF_CLIENT_NONE, false },
	{ "proxy-v1", CONF_CLIENT_PROXY_V1, false },
	{ "proxy-v2", CONF_CLIENT_PROXY_V2, false },
	{ "transparent", 0, true },
	{ 0 },
};

const struct key keys[] = {
	{ U(client_log), .name = "client_log", .type = KEY_PATH, .default_text = "-",
	  .restart = true,
	  .help = "Where the client log goes: a file (appended to, reopened on SIGHUP), `-` for "
		  "standard output, or `off`." },
	{ U(log_format), .name = "format", .type = KEY_WORD, .words = log_formats,
	  .default_text = "json", .restart = true,
	  .help = "A JSON object a line, or a text line much like nginx's combined format." },
	{ U(log_probes), .name = "log_probes", .type = KEY_BOOL, .default_text = "no",
	  .help = "A line for health checks, too: empty connects, and LOCAL (version 1: "
		  "UNKNOWN) without data." },
	{ U(log_start), .name = "log_start", .type = KEY_BOOL, .default_text = "no",
	  .help = "A line when a connection has been joined to its backend, besides the one at "
		  "its end." },
	{ U(workers), .name = "workers", .type = KEY_NUMBER, .max = 256, .auto_word = "auto",
	  .default_text = "auto", .restart = true,
	  .help = "Threads that move connections; `auto` is one per core." },
	{ U(io_uring), .name = "io_uring", .type = KEY_BOOL, .default_text = "yes", .restart = true,
	  .help = "Accept and move small messages with io_uring where the host has it (Linux 6.1, "
		  "`kernel.io_uring_disabled`); `no` leaves all to epoll." },
	{ U(user), .name = "user", .type = KEY_NAME, .restart = true,
	  .help = "Become this user once all sockets, maps and files are open; not with "
		  "`engine = inline`. If left out, the one who started it." },
	{ U(group), .name = "group", .type = KEY_NAME, .restart = true,
	  .help = "The group to go with `user`, whose own it is if left out." },
	{ U(sandbox), .name = "sandbox", .type = KEY_BOOL, .default_text = "yes", .restart = true,
	  .help = "Once it serves, give up all capabilities, system calls and new privileges that "
		  "it does not need; `no` is for diagnosis." },
	{ U(drain_timeout_ms), .name = "drain_timeout", .type = KEY_MILLISECONDS, .max = 24 * HOUR,
	  .default_text = "30s",
	  .help = "How long connections may take to end by themselves after SIGTERM." },
	{ U(max_connections), .name = "max_connections", .type = KEY_NUMBER, .max = 10000000,
	  .auto_word = "auto", .default_text = "auto", .restart = true,
	  .help = "Connections in all; `auto` is what the limit of open files allows." },
	{ U(deny_file), .name = "deny_file", .type = KEY_PATH, .default_text = "off",
	  .help = "Clients to refuse: a file of addresses and CIDRs, one a line; see "
		  "[deny.md](deny.md)." },
	{ U(deny_entries), .name = "deny_entries", .type = KEY_NUMBER, .min = 1, .max = 16777216,
	  .default_text = "1048576", .restart = true,
	  .help = "Networks that there is room for, of `deny_file` and of `unproxy deny` "
		  "together. Memory is taken as they come." },
	{ U(inline_flows), .name = "inline_flows", .type = KEY_NUMBER, .min = 1024, .max = 16777216,
	  .default_text = "262144", .restart = true,
	  .help = "Connections that listeners with `engine = inline` have room for together. "
		  "To change it, `unproxy detach` first." },
	{ U(detach_on_exit), .name = "detach_on_exit", .type = KEY_BOOL, .default_text = "no",
	  .help = "`no`: what `engine = inline` has put on the interfaces goes on without the "
		  "daemon, until `unproxy detach`. `yes`: it goes with it, and breaks its "
		  "connections." },
	{ U(tcx), .name = "tcx", .type = KEY_BOOL, .default_text = "yes", .restart = true,
	  .help = "`no`: programs of `engine = inline` are filters of a `clsact` qdisc, as they "
		  "are before Linux 6.6, and not tcx programs, which cost less." },
	{ U(control), .name = "control", .type = KEY_SOCKET, .restart = true,
	  .default_text = "/run/unproxy/control.sock",
	  .help = "The control socket, by which `unproxy status` and other commands ask the "
		  "running daemon; or `off`. Its directory is made if its parent is there." },
	{ U(control_gid), .name = "control_group", .type = KEY_GROUP, .restart = true,
	  .help = "A group whose members may use the control socket, too (mode 0660); root "
		  "alone (0600) if left out. Whoever may use it may change what the daemon does." },
	{ U(metrics), .name = "metrics", .type = KEY_ENDPOINT, .restart = true,
	  .default_text = "off",
	  .help = "Where `/metrics` (for Prometheus), `/healthz` and `/readyz` are served by "
		  "HTTP: `ADDR:PORT`. Whoever can connect there can read them." },

	{ L(engine), .name = "engine", .type = KEY_WORD, .words = engines, .default_text = "relay",
	  .help = "How connections are served: `relay` accepts them and connects to a server, "
		  "`inline` takes the header out of the packets on their way to an app on this "
		  "host." },
	{ L(binds), .name = "bind", .type = KEY_BINDS, .engine = KEY_RELAY, .required = true,
	  .repeatable = true,
	  .help = "Where to listen, a list: `ADDR:PORT` or `ADDR:FIRST-LAST`. `*:PORT` is every "
		  "address of both families, `0.0.0.0:PORT` every IPv4 one." },
	{ L(trust), .name = "trust", .type = KEY_TRUST, .required = true,
	  .help = "The load balancers that may speak PROXY, a list of addresses and CIDRs. "
		  "Connections from elsewhere are refused. Everyone must be spelled out: `any`." },
	{ L(backend), .name = "backend", .type = KEY_BACKEND_REF, .engine = KEY_RELAY,
	  .required = true,
	  .help = "The name of a `[backend NAME]`, or the `ADDR:PORT` of a single server." },
	{ L(port), .name = "port", .type = KEY_PORT, .engine = KEY_INLINE, .required = true,
	  .help = "The port that load balancers connect to. `80 -> 3000`: the app listens on "
		  "another one." },
	{ L(addresses), .name = "address", .type = KEY_ADDRESSES, .engine = KEY_INLINE,
	  .help = "Only connections to these addresses, a list; all addresses of this host if "
		  "left out." },
	{ L(interfaces), .name = "interfaces", .type = KEY_INTERFACES, .engine = KEY_INLINE,
	  .help = "Where the packets of load balancers, and of the app, pass, a list. If left "
		  "out: the interfaces that have a route and are not part of a bridge or bond, and "
		  "`lo`. "
		  "Listeners share them." },
	{ L(untrusted), .name = "untrusted", .type = KEY_WORD, .words = untrusted,
	  .default_text = "reset",
	  .help = "Connections from elsewhere than `trust`: `pass` has them served as what they "
		  "are, clients without a PROXY header; what they say is never taken for one." },
	{ L(header), .name = "header", .type = KEY_WORD, .words = headers,
	  .default_text = "require",
	  .help = "`optional` lets connections from `trust` pass without a PROXY header, too, as "
		  "long as a load balancer is being switched over." },
	{ L(header_timeout_ms), .name = "header_timeout", .type = KEY_MILLISECONDS, .min = 3000,
	  .max = 10 * MINUTE, .default_text = "5s",
	  .help = "How long a header may take to arrive whole." },
	{ L(header_max), .name = "header_max", .type = KEY_SIZE, .min = 107, .max = 65551,
	  .default_text = "4k",
	  .help = "The longest header that is accepted; with `engine = inline` 4095 at most." },
	{ L(v1_ipv4_in_tcp6), .name = "v1_ipv4_in_tcp6", .type = KEY_BOOL, .default_text = "no",
	  .help = "Accept IPv4 addresses behind `TCP6` in a version 1 header, as nginx sends "
		  "them." },
	{ L(kernel_path), .name = "kernel_path", .type = KEY_WORD, .engine = KEY_RELAY,
	  .words = kernel_paths, .default_text = "auto",
	  .help = "Redirect bytes in the kernel: `always` from the first byte on; `auto` for a "
		  "bulk direction that may not be spliced (`splice = no`, or refused); `off` "
		  "never." },
	{ L(promote_bytes), .name = "promote_bytes", .type = KEY_SIZE64, .engine = KEY_RELAY,
	  .max = UINT64_C(1) << 40, .default_text = "64k",
	  .help = "A direction that has moved so much in bulk goes to a bulk path." },
	{ L(splice), .name = "splice", .type = KEY_BOOL, .engine = KEY_RELAY, .default_text = "yes",
	  .help = "Use splice(2) for bulk; `no` leaves bulk to the kernel path, or to copying "
		  "where that is off." },
	{ L(max_connections), .name = "max_connections", .type = KEY_NUMBER, .engine = KEY_RELAY,
	  .max = 10000000, .default_text = "0",
	  .help = "Connections of this listener; 0 is no limit." },
	{ L(max_per_source), .name = "max_per_source", .type = KEY_NUMBER, .engine = KEY_RELAY,
	  .max = 10000000, .default_text = "0",
	  .help = "Connections of one source address, which is a load balancer's as a rule; 0 is "
		  "no limit." },
	{ L(backlog), .name = "backlog", .type = KEY_NUMBER, .engine = KEY_RELAY, .min = 1,
	  .max = 65535, .default_text = "4096",
	  .help = "Connections the kernel may hold ready for accept(2); "
		  "see also `net.core.somaxconn`." },
	{ L(keepalive_s), .name = "keepalive", .type = KEY_SECONDS, .engine = KEY_RELAY,
	  .max = 32767 * UINT64_C(1000), .default_text = "60s",
	  .help = "Idle time before TCP keepalive probes, on both legs. Below 350 s an NLB does "
		  "not forget idle connections. 0 is off." },
	{ L(user_timeout_ms), .name = "user_timeout", .type = KEY_MILLISECONDS, .engine = KEY_RELAY,
	  .max = 24 * HOUR, .default_text = "0",
	  .help = "TCP_USER_TIMEOUT of both legs: how long sent data may stay unacknowledged. 0 "
		  "leaves it to the kernel." },
	{ L(idle_timeout_ms), .name = "idle_timeout", .type = KEY_MILLISECONDS, .engine = KEY_RELAY,
	  .max = 720 * HOUR, .default_text = "0",
	  .help = "Close a connection that moved no byte for so long; 0 is "
		  "never." },

	{ B(servers), .name = "server", .type = KEY_SERVER, .required = true, .repeatable = true,
	  .help = "A server: `ADDR:PORT`, and `weight=N` (1 to 256, 1 if not given). One line "
		  "each." },
	{ B(balance), .name = "balance", .type = KEY_WORD, .words = balances,
	  .default_text = "roundrobin",
	  .help = "Which server is next: in turn, or the one with "
		  "the fewest connections; both by weight." },
	{ B(client_address), .name = "client_address", .type = KEY_WORD, .words = client_addresses,
	  .default_text = "hook",
	  .help = "How a server is told of its client: `hook`, it sees it as the peer of its "
		  "connection, in `accept()` and `getpeername()`, if it runs on this host; by a "
		  "PROXY header of version 1 or 2 in front; or not (the client log has it in any "
		  "case)." },
	{ B(connect_timeout_ms), .name = "connect_timeout", .type = KEY_MILLISECONDS, .min = 10,
	  .max = 10 * MINUTE, .default_text = "5s",
	  .help = "How long a server may take to accept a connection." },
	{ B(retry_ms), .name = "retry", .type = KEY_MILLISECONDS, .min = 10, .max = HOUR,
	  .default_text = "1s",
	  .help = "How long a server that refused is left alone while another one serves; doubled "
		  "each time. If all rest, clients are sent to the one whose rest is over first "
		  "(100 at once, then 100 a second for each server): if it is back they are "
		  "served, else reset. A drained server is never tried." },
	{ B(retry_max_ms), .name = "retry_max", .type = KEY_MILLISECONDS, .min = 10, .max = HOUR,
	  .default_text = "30s", .help = "... up to this." },
};
const size_t n_keys = ARRAY_SIZE(keys);
_Static_assert(ARRAY_SIZE(keys) <= KEYS_MAX, "seen[] of a section holds a line for each key");

const struct key *key_find(enum key_section section, const char *name)
{
	for (size_t i = 0; i < n_keys; i++) {
		if (keys[i].section == section && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

const char *key_nearest(enum key_section section, const char *name)
{
	const char *names[ARRAY_SIZE(keys)];
	size_t n = 0;

	for (size_t i = 0; i < n_keys; i++) {
		if (keys[i].section == section)
			names[n++] = keys[i].name;
	}
	return value_nearest(name, names, n);
}

int key_set_defaults(enum key_section section, void *owner)
{
	char why[256];

	for (size_t i = 0; i < n_keys; i++) {
		int r;

		if (keys[i].section != section || !keys[i].default_text)
			continue;
		r = key_set(&keys[i], owner, keys[i].default_text, why, sizeof(why));
		if (r < 0)
			return r;
	}
	return 0;
}
