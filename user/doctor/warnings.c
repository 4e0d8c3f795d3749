// SPDX-License-Identifier: BSD-2-Clause
#include "doctor/warnings.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cidr.h"
#include "base/cleanup.h"
#include "base/socket.h"
#include "doctor/owner.h"
#include "doctor/probe.h"

/* A migration takes days. */
#define MIGRATION_DAYS 14
#define CONNECT_MS 1000

struct warn {
	warning_fn *fn;
	void *context;
};

static void say(const struct warn *warn, unsigned line, const char *key, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void say(const struct warn *warn, unsigned line, const char *key, const char *format, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	warn->fn(warn->context, line, key, text);
}

/* The widest public networks that a balancer's operator publishes: Cloudflare's
 * 104.16.0.0/13, and 2a06:98c0::/29. */
#define WIDE_IPV4 12
#define WIDE_IPV6 28

/* A network that nobody is reached in from outside, or a part of one. */
static bool is_private(const struct cidr *rule)
{
	static const char *const nets[] = { "10.0.0.0/8",     "100.64.0.0/10", "127.0.0.0/8",
					    "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
					    "fc00::/7",       "fe80::/10" };

	for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
		struct cidr net;

		if (!cidr_parse(nets[i], &net) && rule->prefix_len >= net.prefix_len &&
		    cidr_holds(&net, rule->ip))
			return true;
	}
	return false;
}

static void warn_trust(const struct warn *warn, const struct conf_listener *listener)
{
	for (size_t i = 0; i < listener->trust.n_rules; i++) {
		const struct cidr *rule = &listener->trust.rules[i];
		bool v4 = rule->prefix_len >= CIDR_MAPPED_BITS && cidr_is_mapped(rule->ip);
		unsigned widest = v4 ? CIDR_MAPPED_BITS + WIDE_IPV4 : WIDE_IPV6;
		char text[CIDR_TEXT_MAX];

		if (rule->prefix_len >= widest || is_private(rule))
			continue;
		(void)cidr_format(rule, text, sizeof(text));
		say(warn, listener->trust_line, "trust",
		    "%s is a large part of the internet, and whoever is in it may claim to be "
		    "any client: name the balancers' networks",
		    text);
	}
}

static void warn_optional(const struct warn *warn, const struct conf *conf,
			  const struct conf_listener *listener)
{
	time_t now = time(NULL);
	struct stat st;
	long days;

	/* When the line was written is not known; when the file was, is. */
	if (listener->header != CONF_HEADER_OPTIONAL || !conf->file || stat(conf->file, &st) < 0)
		return;
	days = (long)((now - st.st_mtime) / 86400);
	if (days >= MIGRATION_DAYS)
		say(warn, listener->header_line, "header",
		    "optional for %ld days or longer: once every balancer sends the header, "
		    "set require; until then a balancer that stops sending it goes unnoticed",
		    days);
}

static bool sends_header(const struct conf_listener *listener)
{
	enum conf_client_address how = listener->backend->client_address;

	return how == CONF_CLIENT_PROXY_V1 || how == CONF_CLIENT_PROXY_V2;
}

static void say_no_header(const struct warn *warn, const struct conf_server *server,
			  const struct conf_listener *other)
{
	say(warn, server->line, "server",
	    "is [listener %s], which requires a header, and none is sent to it: "
	    "client_address = proxy-v2",
	    other->name);
}

/* Does inline look at what goes from this host to its own address? */
static bool looks_at(const struct conf_listener *inline_listener, const struct up_addr *addr)
{
	bool meant = inline_listener->n_addresses == 0, lo = inline_listener->n_interfaces == 0;

	for (size_t i = 0; i < inline_listener->n_addresses; i++)
		meant |= addr_covers(&inline_listener->addresses[i], addr);
	for (size_t i = 0; i < inline_listener->n_interfaces; i++)
		lo |= strcmp(inline_listener->interfaces[i].name, "lo") == 0;
	return meant && lo && addr->port == inline_listener->port.wire && addr_is_local(addr);
}

/* Whose server is an app on this host that inline takes the header off for. */
static void warn_inline_chain(const struct warn *warn, const struct conf_listener *listener,
			      const struct conf_server *server, const struct conf_listener *other)
{
	static const struct up_addr localhost = { .ip = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
						  .family = UP_FAMILY_IPV4 };
	bool loopback4 = server->addr.family == UP_FAMILY_IPV4 && addr_is_loopback(&server->addr);
	/* Where the kernel has a connection to an address of its own begin. */
	const struct up_addr *from = loopback4 ? &localhost : &server->addr;
	char ip[ADDR_TEXT_MAX];

	if (!looks_at(other, &server->addr))
		return;
	if (trust_match(&other->trust, from)) {
		if (other->header == CONF_HEADER_REQUIRE && !sends_header(listener))
			say_no_header(warn, server, other);
	} else if (other->untrusted == CONF_UNTRUSTED_RESET) {
		(void)addr_format_ip(from, ip, sizeof(ip));
		say(warn, server->line, "server",
		    "is [listener %s], which does not trust %s, where these connections come "
		    "from, and resets them",
		    other->name, ip);
	}
}

/* Whose server is another listener, which waits for a header. */
static void warn_chain(const struct warn *warn, const struct conf *conf,
		       const struct conf_listener *listener, const struct conf_server *server)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *other = &conf->listeners[i];

		if (other->engine == CONF_ENGINE_INLINE)
			warn_inline_chain(warn, listener, server, other);
		for (size_t k = 0; k < other->n_binds; k++) {
			const struct conf_bind *bind = &other->binds[k];

			if (server->addr.port < bind->addr.port ||
			    server->addr.port > bind->last_port ||
			    !addr_covers(&bind->addr, &server->addr) ||
			    !addr_is_local(&server->addr))
				continue;
			if (other == listener)
				say(warn, server->line, "server",
				    "is [listener %s] itself, whose backend this is: connections "
				    "would go in a circle",
				    listener->name);
			else if (other->header == CONF_HEADER_REQUIRE && !sends_header(listener))
				say_no_header(warn, server, other);
		}
	}
}

/* The balancer's own address as a server: it would get its connections back. On this very
 * host both are often at home. */
static void warn_circle(const struct warn *warn, const struct conf_listener *listener,
			const struct conf_server *server)
{
	for (size_t i = 0; i < listener->trust.n_rules; i++) {
		const struct cidr *rule = &listener->trust.rules[i];
		char ip[ADDR_TEXT_MAX];

		if (rule->prefix_len != 128 || memcmp(rule->ip, server->addr.ip, 16) != 0 ||
		    addr_is_local(&server->addr))
			continue;
		(void)addr_format_ip(&server->addr, ip, sizeof(ip));
		say(warn, server->line, "server",
		    "%s is a balancer of [listener %s], too: if its port is the balancer's own, "
		    "connections go in a circle",
		    ip, listener->name);
	}
}

void warnings_of_conf(const struct conf *conf, warning_fn *fn, void *context)
{
	const struct warn warn = { fn, context };

	for (size_t i = 0; i < conf->n_listeners; i++) {
		warn_trust(&warn, &conf->listeners[i]);
		warn_optional(&warn, conf, &conf->listeners[i]);
	}
}

/* Does nobody answer where the daemon of this file would? False, too: that cannot be known. */
static bool is_not_running(const struct conf *conf)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;

	return conf->control && fd >= 0 && socket_path(conf->control, &sa) == 0 &&
	       connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 &&
	       (errno == ENOENT || errno == ECONNREFUSED);
}

/* One of us, but not of this file: `run` would be refused. */
static void warn_other(const struct warn *warn, const struct conf *conf,
		       const struct conf_bind *bind, const struct owner *owner, const char *text)
{
	if (is_not_running(conf))
		say(warn, bind->line, "bind",
		    "unproxy (pid %d) listens on %s already, and is not the daemon of this "
		    "file: none answers at %s",
		    owner->pid, text, conf->control);
}

static void warn_owner(const struct warn *warn, const struct conf *conf,
		       const struct listenings *all, const struct conf_bind *bind, uint16_t port)
{
	struct up_addr addr = bind->addr;
	const struct listening *found;
	struct owner owner;
	char text[ADDR_TEXT_MAX];

	addr.port = port;
	found = listenings_find(all, &addr);
	if (!found)
		return;
	owner_find(found, &owner);
	(void)addr_format(&found->addr, text, sizeof(text));
	if (owner.ours)
		warn_other(warn, conf, bind, &owner, text);
	else if (owner_is_hidden(&owner))
		say(warn, bind->line, "bind",
		    "port %u: a process that root alone can see listens on %s already", port, text);
	else
		say(warn, bind->line, "bind",
		    owner.pid ? "port %u: %s (pid %d) listens on %s already"
			      : "port %u: another process (%s, pid %d: not visible) listens on %s "
				"already",
		    port, owner.name, owner.pid, text);
}

static void warn_owners(const struct warn *warn, const struct conf *conf,
			const struct listenings *all, const struct conf_bind *bind)
{
	for (uint32_t port = bind->addr.port; port <= bind->last_port; port++)
		warn_owner(warn, conf, all, bind, (uint16_t)port);
}

/* As the daemon will, but for the port. */
static void warn_binds(const struct warn *warn, const struct conf_listener *listener)
{
	for (size_t k = 0; k < listener->n_binds; k++) {
		const struct conf_bind *bind = &listener->binds[k];
		struct up_addr addr = bind->addr;
		char text[ADDR_TEXT_MAX];
		int fd;

		addr.port = 0;
		fd = socket_bind(&addr);
		if (fd >= 0) {
			(void)close(fd);
			continue;
		}
		(void)addr_format(&bind->addr, text, sizeof(text));
		say(warn, bind->line, "bind", "%s cannot be bound: %s", text, strerror(-fd));
	}
}

static void warn_interfaces(const struct warn *warn, const struct conf_listener *listener)
{
	for (size_t i = 0; i < listener->n_interfaces; i++) {
		if (if_nametoindex(listener->interfaces[i].name) == 0)
			say(warn, listener->interfaces_line, "interfaces",
			    "%s is not there: its packets are looked at once it is",
			    listener->interfaces[i].name);
	}
}

void warnings_of_host(const struct conf *conf, warning_fn *fn, void *context)
{
	const struct warn warn = { fn, context };

	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];

		warn_binds(&warn, listener);
		warn_interfaces(&warn, listener);
		for (size_t k = 0; listener->backend && k < listener->backend->n_servers; k++) {
			warn_chain(&warn, conf, listener, &listener->backend->servers[k]);
			warn_circle(&warn, listener, &listener->backend->servers[k]);
		}
	}
}

static void warn_app(const struct warn *warn, const struct listenings *all,
		     const struct conf_listener *listener)
{
	struct up_addr any = { .family = UP_FAMILY_IPV6, .port = listener->port.app };

	if (!listener->n_addresses && !listenings_find(all, &any))
		say(warn, listener->port_line, "port", "no app listens on port %u", any.port);
	for (size_t i = 0; i < listener->n_addresses; i++) {
		struct up_addr addr = listener->addresses[i];
		char text[ADDR_TEXT_MAX];

		addr.port = listener->port.app;
		if (listenings_find(all, &addr))
			continue;
		(void)addr_format(&addr, text, sizeof(text));
		say(warn, listener->port_line, "port", "no app listens on %s", text);
	}
}

/* The ports of the relay are free, those of inline are not. */
static void warn_ports(const struct warn *warn, const struct conf *conf)
{
	_cleanup_(listenings_free) struct listenings all = { 0 };

	if (listenings_read(&all))
		return;
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];

		if (listener->engine == CONF_ENGINE_INLINE)
			warn_app(warn, &all, listener);
		for (size_t k = 0; k < listener->n_binds; k++)
			warn_owners(warn, conf, &all, &listener->binds[k]);
	}
}

void warnings_of_sockets(const struct conf *conf, warning_fn *fn, void *context)
{
	const struct conf_server *servers[PROBES_MAX];
	const struct warn warn = { fn, context };
	struct probe probes[PROBES_MAX];
	char text[ADDR_TEXT_MAX];
	size_t n = 0;

	for (size_t i = 0; i < conf->n_backends; i++) {
		const struct conf_backend *backend = &conf->backends[i];

		for (size_t k = 0; k < backend->n_servers && n < PROBES_MAX; k++) {
			probes[n] = (struct probe){ .to = backend->servers[k].addr };
			servers[n++] = &backend->servers[k];
		}
	}
	warn_ports(&warn, conf);
	probe_run(probes, n, CONNECT_MS);
	for (size_t i = 0; i < n; i++) {
		if (probes[i].end == PROBE_OPEN)
			continue;
		(void)addr_format(&probes[i].to, text, sizeof(text));
		say(&warn, servers[i]->line, "server", "%s does not accept connections: %s", text,
		    strerror(probes[i].err));
	}
}
