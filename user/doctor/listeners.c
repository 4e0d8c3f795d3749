// SPDX-License-Identifier: BSD-2-Clause
/*
 * Servers and listeners of a configuration: who listens, and a connection of each kind
 * through each listener, to its end.
 *
 * A listener believes only those it trusts, so the connections begin at an address of this
 * host that it trusts, and say the truth: that this host is the client. Where there is none,
 * nothing is tried.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "client/header_write.h"
#include "doctor/checks.h"
#include "doctor/owner.h"
#include "doctor/probe.h"
#include "inline/interfaces.h"
#include "kern/survey.h"

#define CONNECT_MS 1000
#define ANSWER_MS 3000
#define HEADER_ROOM 128
#define ENTRIES 64

void check_servers(struct report *report, const struct conf *conf)
{
	for (size_t i = 0; conf && i < conf->n_backends; i++) {
		const struct conf_backend *backend = &conf->backends[i];
		struct probe probes[PROBES_MAX];
		size_t n = backend->n_servers < PROBES_MAX ? backend->n_servers : PROBES_MAX;
		size_t n_open = 0;

		for (size_t k = 0; k < n; k++)
			probes[k] = (struct probe){ .to = backend->servers[k].addr };
		probe_run(probes, n, CONNECT_MS);
		for (size_t k = 0; k < n; k++)
			n_open += probes[k].end == PROBE_OPEN;
		for (size_t k = 0; k < n; k++) {
			char text[ADDR_TEXT_MAX], name[48];

			(void)addr_format(&probes[k].to, text, sizeof(text));
			(void)snprintf(name, sizeof(name), "backend %s", backend->name);
			if (probes[k].end == PROBE_OPEN)
				report_add(report, FINDING_OK, name, NULL, "%s accepts connections",
					   text);
			else
				report_add(report, n_open ? FINDING_WARN : FINDING_FAIL, name,
					   "start the server, or open the way to it; "
					   "its listen address, firewall, security group",
					   "%s does not accept connections: %s", text,
					   strerror(probes[k].err));
		}
	}
}

/* One of the three things a balancer says. */
struct trial {
	const char *name;
	uint8_t bytes[HEADER_ROOM];
	int len;
};

static size_t write_trials(const struct up_addr *from, const struct up_addr *to,
			   struct trial trials[3])
{
	const struct header_write proxied = { .command = UP_COMMAND_PROXY,
					      .src = *from,
					      .dst = *to };
	const struct header_write local = { .command = UP_COMMAND_LOCAL };

	trials[0].name = "v1";
	trials[0].len = header_write_v1(&proxied, trials[0].bytes, HEADER_ROOM);
	trials[1].name = "v2";
	trials[1].len = header_write_v2(&proxied, trials[1].bytes, HEADER_ROOM);
	trials[2].name = "LOCAL";
	trials[2].len = header_write_v2(&local, trials[2].bytes, HEADER_ROOM);
	return 3;
}

static void judge(struct report *report, const char *name, const struct trial *trial,
		  const struct probe *probe)
{
	switch (probe->end) {
	case PROBE_ANSWER:
	case PROBE_CLOSED:
		report_add(report, FINDING_OK, name, NULL, "%s: %s", trial->name,
			   probe->end == PROBE_ANSWER ? "the app answered"
						      : "the app read to the end and closed");
		break;
	case PROBE_RESET:
		report_add(report, FINDING_FAIL, name,
			   "the client log's last line has the reason; docs/troubleshooting.md",
			   "%s: reset", trial->name);
		break;
	case PROBE_ERROR:
		report_add(report, FINDING_FAIL, name, "docs/troubleshooting.md", "%s: %s",
			   trial->name, strerror(probe->err));
		break;
	default:
		report_add(
			report, FINDING_WARN, name,
			"an app may ignore the end of a stream; else see docs/troubleshooting.md",
			"%s: taken, and no answer within %d s", trial->name, ANSWER_MS / 1000);
	}
}

static bool trusts(const void *context, const struct up_addr *addr)
{
	return trust_match(context, addr);
}

static bool is_wildcard(const struct up_addr *addr)
{
	const struct up_addr one = { .ip = { [15] = 1 }, .family = UP_FAMILY_IPV6 };
	const struct up_addr four = { .ip = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
				      .family = UP_FAMILY_IPV4 };

	return addr_covers(addr, addr->family == UP_FAMILY_IPV4 ? &four : &one) &&
	       !addr_is_loopback(addr);
}

/* From where to where: both this host's, and the first is trusted. */
static bool choose_ends(const struct conf_listener *listener, const struct up_addr *bound,
			struct up_addr *from, struct up_addr *to)
{
	bool wildcard = is_wildcard(bound);
	enum up_family family = wildcard && bound->family == UP_FAMILY_IPV6 ? UP_FAMILY_NONE
									    : bound->family;

	if (!addr_local_find(family, trusts, &listener->trust, from))
		return false;
	*to = wildcard ? *from : *bound;
	to->port = bound->port;
	return true;
}

static void try_listener(struct report *report, const char *name,
			 const struct conf_listener *listener, const struct up_addr *bound)
{
	struct up_addr from, to, said;
	struct probe probes[3];
	struct trial trials[3];
	size_t n;

	if (!choose_ends(listener, bound, &from, &to)) {
		report_add(report, FINDING_SKIP, name,
			   "try it from the balancer, or add 127.0.0.1 to trust for as long",
			   "no test connection: trust holds no address of this host");
		return;
	}
	said = from;
	said.port = 1;
	n = write_trials(&said, &to, trials);
	for (size_t i = 0; i < n; i++)
		probes[i] = (struct probe){ .to = to,
					    .from = from,
					    .bytes = trials[i].bytes,
					    .len = (size_t)trials[i].len };
	probe_run(probes, n, ANSWER_MS);
	for (size_t i = 0; i < n; i++)
		judge(report, name, &trials[i], &probes[i]);
}

/* Adds what is, unless the owner is an unproxy. */
static bool is_ours(struct report *report, const char *name, const char *at,
		    const struct owner *owner)
{
	if (owner_is_hidden(owner))
		report_add(report, FINDING_SKIP, name, "run doctor as root",
			   "who listens on %s cannot be seen", at);
	else if (!owner->ours)
		report_add(report, FINDING_FAIL, name, "stop it, or take another port",
			   "%s belongs to %s (pid %d)", at, owner->name, owner->pid);
	return owner->ours;
}

static void check_bind(struct report *report, const char *name, const struct listenings *all,
		       const struct conf_listener *listener, const struct conf_bind *bind)
{
	const struct listening *found = listenings_find(all, &bind->addr);
	char text[ADDR_TEXT_MAX];
	struct owner owner;

	(void)addr_format(&bind->addr, text, sizeof(text));
	if (!found) {
		report_add(report, FINDING_OK, name, NULL, "%s is free", text);
		report_add(report, FINDING_SKIP, name, "unproxy run, then doctor again",
			   "no test connection: nothing listens");
		return;
	}
	owner_find(found, &owner);
	if (!is_ours(report, name, text, &owner))
		return;
	report_add(report, FINDING_OK, name, NULL, "unproxy (pid %d) listens on %s", owner.pid,
		   text);
	try_listener(report, name, listener, &bind->addr);
}

/* Somebody else's ports alone are worth a word. */
static void check_range(struct report *report, const char *name, const struct listenings *all,
			const struct conf_bind *bind, uint32_t from)
{
	for (uint32_t port = from; port <= bind->last_port; port++) {
		struct up_addr addr = bind->addr;
		const struct listening *found;
		char text[ADDR_TEXT_MAX];
		struct owner owner;

		addr.port = (uint16_t)port;
		found = listenings_find(all, &addr);
		if (!found)
			continue;
		owner_find(found, &owner);
		(void)addr_format(&addr, text, sizeof(text));
		if (!owner_is_hidden(&owner))
			(void)is_ours(report, name, text, &owner);
	}
}

/* How many of the programs on an interface are ours: two, one for each way. -EPERM: they cannot
 * be seen. */
static int programs_of_ours(const char *interface)
{
	struct survey_entry entries[ENTRIES];
	struct survey survey = { .entries = entries, .room = ENTRIES };
	struct kern_interface found;
	unsigned kind;
	int err, n = 0;

	if (interface_find(interface, &found, &kind))
		return 0;
	err = survey_interface(found.index, &survey);
	if (err)
		return err == -EPERM ? err : 0;
	for (size_t i = 0; i < survey.n && i < survey.room; i++)
		n += survey.entries[i].ours;
	return n;
}

static bool check_attached(struct report *report, const char *name,
			   const struct conf_listener *listener)
{
	_cleanup_(interface_names_free) struct interface_names names = { 0 };
	unsigned missing = 0;
	bool hidden = false;

	for (size_t k = 0; k < listener->n_interfaces; k++)
		(void)interface_names_add(&names, listener->interfaces[k].name,
					  strlen(listener->interfaces[k].name));
	if (!names.n)
		(void)interface_names_default(&names);
	for (size_t i = 0; i < names.n; i++) {
		int n = programs_of_ours(names.names[i].name);

		missing += n < 2;
		hidden |= n < 0;
	}
	if (hidden)
		report_add(report, FINDING_SKIP, name, "run doctor as root",
			   "whether it is attached cannot be seen: %s", strerror(EPERM));
	else if (missing == 0)
		report_add(report, FINDING_OK, name, NULL, "attached to %zu interfaces", names.n);
	else if (missing == names.n)
		report_add(report, FINDING_SKIP, name, "unproxy run, then doctor again",
			   "not attached: no test connection");
	else
		report_add(report, FINDING_WARN, name,
			   "the daemon's log: inline.left_out, inline.failed, inline.attach",
			   "%u of %zu interfaces are without our programs", missing, names.n);
	return missing < names.n && interface_names_hold(&names, "lo") &&
	       programs_of_ours("lo") == 2;
}

static void check_app(struct report *report, const char *name, const struct listenings *all,
		      const struct conf_listener *listener)
{
	struct up_addr at = { .family = UP_FAMILY_IPV6, .port = listener->port.app };
	const struct listening *found;
	bool over_lo = check_attached(report, name, listener);
	struct owner owner;

	if (listener->n_addresses) {
		at = listener->addresses[0];
		at.port = listener->port.app;
	}
	found = listenings_find(all, &at);
	if (!found) {
		report_add(report, FINDING_FAIL, name,
			   "start the app; with engine = inline it listens by itself",
			   "no app listens on port %u", listener->port.app);
		return;
	}
	owner_find(found, &owner);
	if (owner_is_hidden(&owner)) {
		report_add(report, FINDING_OK, name, NULL,
			   "an app that cannot be seen listens on port %u", listener->port.app);
		return;
	}
	report_add(report, owner.ours ? FINDING_FAIL : FINDING_OK, name,
		   owner.ours ? "engine = relay and engine = inline cannot share a port" : NULL,
		   "%s (pid %d) listens on port %u", owner.name, owner.pid, listener->port.app);
	if (!over_lo)
		return;
	at = found->addr;
	at.port = listener->port.wire;
	try_listener(report, name, listener, &at);
}

/* A connection would meet another listener, or none. */
static void check_unserved(struct report *report, const char *name, const struct listenings *all,
			   const struct conf_listener *listener)
{
	report_add(report, FINDING_WARN, name,
		   "unproxy reload, if it serves this file; else doctor with the file that it does",
		   "the daemon that runs has no such listener: no test connection");
	for (size_t k = 0; k < listener->n_binds; k++)
		check_range(report, name, all, &listener->binds[k], listener->binds[k].addr.port);
}

static void check_listener(struct report *report, const char *name, const struct listenings *all,
			   const struct conf_listener *listener)
{
	if (listener->engine == CONF_ENGINE_INLINE)
		check_app(report, name, all, listener);
	for (size_t k = 0; k < listener->n_binds; k++) {
		const struct conf_bind *bind = &listener->binds[k];

		check_bind(report, name, all, listener, bind);
		check_range(report, name, all, bind, bind->addr.port + 1U);
	}
}

void check_listeners(struct report *report, const struct conf *conf,
		     const struct doctor_daemon *daemon)
{
	_cleanup_(listenings_free) struct listenings all = { 0 };
	int err = conf ? listenings_read(&all) : 0;

	if (err)
		report_add(report, FINDING_WARN, "listeners", NULL,
			   "sockets cannot all be seen: %s", strerror(-err));
	for (size_t i = 0; conf && i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];
		char name[48];

		(void)snprintf(name, sizeof(name), "listener %s", listener->name);
		if (daemon_serves(daemon, listener))
			check_listener(report, name, &all, listener);
		else
			check_unserved(report, name, &all, listener);
	}
}
