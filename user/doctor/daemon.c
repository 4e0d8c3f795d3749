// SPDX-License-Identifier: BSD-2-Clause
/* What the daemon that runs says of itself (its `status`), judged, with the mend. */
#include "doctor/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/version.h"
#include "doctor/checks.h"
#include "doctor/text.h"

#define NEAR_PERCENT 80 /* from here on a limit is near */

static const json_t *member(const json_t *object, const char *first, const char *second)
{
	return json_object_get(json_object_get(object, first), second);
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static unsigned long long number_of(const json_t *object, const char *name)
{
	return (unsigned long long)json_integer_value(json_object_get(object, name));
}

static bool is(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

/* ---- is it there? ---- */

static void check_absent(struct report *report, const struct doctor_daemon *daemon)
{
	switch (daemon->err) {
	case -ENOENT:
		report_add(report, FINDING_SKIP, "daemon", "unproxy run, then doctor again",
			   "none runs: there is no %s", daemon->control);
		break;
	case -ECONNREFUSED:
		report_add(report, FINDING_WARN, "daemon",
			   "start it, and see its log for why it ended without a farewell",
			   "none runs: nobody answers at %s, which a dead one left",
			   daemon->control);
		break;
	case -EACCES:
		report_add(report, FINDING_SKIP, "daemon", "ask as root, or set control_group",
			   "%s may not be asked by this user", daemon->control);
		break;
	default:
		report_add(report, FINDING_FAIL, "daemon",
			   "its log; a thread that hangs shows in systemctl status (watchdog)",
			   "it does not answer at %s: %s", daemon->control, strerror(-daemon->err));
	}
}

static void check_version(struct report *report, const json_t *status)
{
	const char *version = text_of(status, "version");
	unsigned long long up_s = number_of(status, "uptime_s");

	if (strcmp(version, UNPROXY_VERSION) != 0)
		report_add(report, FINDING_WARN, "daemon",
			   "unproxy run --takeover, or a restart (docs/upgrade.md)",
			   "version %s runs (pid %llu), and this is %s", version,
			   number_of(status, "pid"), UNPROXY_VERSION);
	else
		report_add(report, FINDING_OK, "daemon", NULL,
			   "version %s runs (pid %llu), for %llu h %02llu min", version,
			   number_of(status, "pid"), up_s / 3600, up_s / 60 % 60);
	if (is(status, "draining"))
		report_add(report, FINDING_WARN, "daemon", "unproxy ready, if it was unproxy drain",
			   "it tells load balancers to send nothing new");
}

/* ---- engines ---- */

/* A part that was asked for and is off; what is on is told in one line. */
static bool check_part(struct report *report, const char *engine, const json_t *part,
		       const char *what)
{
	if (!is(part, "wanted") || is(part, "on"))
		return true;
	report_add(report, FINDING_WARN, engine,
		   "docs/privileges.md: what each takes; doctor's own lines say what this host has",
		   "%s is off: %s", what, text_of(part, "why"));
	return false;
}

static void check_relay(struct report *report, const json_t *relay)
{
	static const struct {
		const char *name, *text;
	} parts[] = {
		{ "kernel_path", "kernel path" },
		{ "io_uring", "io_uring" },
		{ "hook", "address hook" },
	};
	bool well = true;

	if (!is(relay, "on"))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		well &= check_part(report, "daemon relay", json_object_get(relay, parts[i].name),
				   parts[i].text);
	if (well)
		report_add(report, FINDING_OK, "daemon relay", NULL,
			   "%llu workers, all that was asked for is on",
			   number_of(relay, "workers"));
}

static void check_inline(struct report *report, const json_t *engine)
{
	const char *interfaces = text_of(engine, "interfaces");

	if (!is(engine, "on"))
		return;
	if (!interfaces[0])
		report_add(report, FINDING_FAIL, "daemon inline",
			   "its log: inline.gone, inline.failed",
			   "it is on no interface: headers reach the app");
	else if (check_part(report, "daemon inline", json_object_get(engine, "hook"),
			    "address hook"))
		report_add(report, FINDING_OK, "daemon inline", NULL, "on %s", interfaces);
}

/* ---- what it serves ---- */

static void check_reload(struct report *report, const json_t *configuration)
{
	const char *error = text_of(configuration, "error");
	const char *restart = text_of(configuration, "restart");

	if (error[0])
		report_add(report, FINDING_FAIL, "daemon reload",
			   "mend the file, then unproxy reload: until then it goes by the old one",
			   "the last one was refused: %s", error);
	if (restart[0])
		report_add(report, FINDING_WARN, "daemon reload",
			   "restart it, or unproxy run --takeover",
			   "the file has changed what takes a restart: %s", restart);
	if (!error[0] && !restart[0])
		report_add(report, FINDING_OK, "daemon reload", NULL,
			   "generation %llu of its configuration, none was refused since",
			   number_of(configuration, "generation"));
}

static void check_served(struct report *report, const json_t *status)
{
	const json_t *listener;
	size_t i;

	json_array_foreach (json_object_get(status, "listeners"), i, listener) {
		const char *name = text_of(listener, "listener");

		if (is(listener, "draining"))
			report_add(report, FINDING_WARN, "daemon listener",
				   "unproxy listener NAME ready", "%s was drained", name);
		else if (!is(listener, "open") && !is(status, "draining"))
			report_add(report, FINDING_FAIL, "daemon listener",
				   "its log: listen.failed", "%s takes no connections", name);
	}
}

/* Is there one that new connections may go to? Those that rest are the last resort. */
static bool has_any(const json_t *servers, const char *backend)
{
	const json_t *server;
	size_t i;

	json_array_foreach (servers, i, server) {
		const char *state = text_of(server, "state");

		if (strcmp(text_of(server, "backend"), backend) == 0 &&
		    (strcmp(state, "ready") == 0 || strcmp(state, "resting") == 0))
			return true;
	}
	return false;
}

static void check_server(struct report *report, const json_t *servers, const json_t *server)
{
	const char *state = text_of(server, "state"), *backend = text_of(server, "backend");

	if (strcmp(state, "resting") == 0)
		report_add(report, FINDING_WARN, "daemon server",
			   "start it, or open the way to it; its log: backend.down",
			   "%s of %s could not be reached, and rests", text_of(server, "server"),
			   backend);
	else if (strcmp(state, "draining") == 0)
		report_add(report, has_any(servers, backend) ? FINDING_WARN : FINDING_FAIL,
			   "daemon server", "unproxy backend NAME server ADDR ready",
			   "%s of %s was drained", text_of(server, "server"), backend);
}

static void check_pool(struct report *report, const json_t *servers)
{
	const json_t *server;
	size_t i;

	json_array_foreach (servers, i, server)
		check_server(report, servers, server);
}

/* ---- limits ---- */

static void check_limit(struct report *report, const char *what, unsigned long long used,
			unsigned long long size, const char *mend)
{
	if (!size || used * 100 < size * NEAR_PERCENT)
		return;
	report_add(report, used < size ? FINDING_WARN : FINDING_FAIL, "daemon limits", mend,
		   "%s: %llu of %llu", what, used, size);
}

static unsigned long long relayed(const json_t *status)
{
	unsigned long long n = 0;
	const json_t *listener;
	size_t i;

	json_array_foreach (json_object_get(status, "listeners"), i, listener) {
		if (strcmp(text_of(listener, "engine"), "relay") == 0)
			n += number_of(listener, "connections");
	}
	return n;
}

static unsigned long long count_descriptors(unsigned long long pid)
{
	char path[64];
	unsigned long long n = 0;
	struct dirent *entry;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%llu/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	return n;
}

/* The soft one; 0: it cannot be told, or that is no unproxy (another pid namespace's number). */
static unsigned long long descriptor_limit(unsigned long long pid)
{
	static const char name[] = "Max open files";
	char path[64], text[2048];
	const char *line;

	(void)snprintf(path, sizeof(path), "/proc/%llu/comm", pid);
	if (text_read(path, text, sizeof(text)) || strcmp(text, "unproxy") != 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/%llu/limits", pid);
	if (text_read(path, text, sizeof(text)))
		return 0;
	line = strstr(text, name);
	return line ? strtoull(line + strlen(name), NULL, 10) : 0;
}

static void check_limits_near(struct report *report, const json_t *status)
{
	unsigned long long pid = number_of(status, "pid");
	unsigned before = report->counts[FINDING_WARN] + report->counts[FINDING_FAIL];
	const char *name;
	json_t *map;

	check_limit(report, "connections of the relay", relayed(status),
		    number_of(member(status, "engines", "relay"), "max_connections"),
		    "max_connections, and the limit of open files (LimitNOFILE)");
	json_object_foreach (json_object_get(status, "maps"), name, map)
		check_limit(report, name, number_of(map, "used"), number_of(map, "size"),
			    strcmp(name, "deny") == 0    ? "deny_entries"
			    : strcmp(name, "flows") == 0 ? "inline_flows"
							 : "max_connections");
	check_limit(report, "open files", count_descriptors(pid), descriptor_limit(pid),
		    "the limit of open files (LimitNOFILE, ulimit -n)");
	if (report->counts[FINDING_WARN] + report->counts[FINDING_FAIL] == before)
		report_add(report, FINDING_OK, "daemon limits", NULL,
			   "connections, maps and open files below %d %% of theirs", NEAR_PERCENT);
}

static void check_lines(struct report *report, const json_t *log)
{
	unsigned long long dropped = number_of(log, "dropped");

	if (!is(log, "on"))
		return;
	if (dropped)
		report_add(
			report, FINDING_WARN, "daemon log",
			"a full or slow disk: its log says client_log.failed; docs/client-log.md",
			"%llu lines of the client log were lost since it started", dropped);
	else
		report_add(report, FINDING_OK, "daemon log", NULL,
			   "%llu lines of the client log, none lost", number_of(log, "lines"));
}

void check_daemon(struct report *report, const struct doctor_daemon *daemon)
{
	const json_t *status = daemon->status;

	if (!daemon->control) {
		report_add(report, FINDING_SKIP, "daemon", "control = PATH",
			   "control = off: it cannot be asked");
		return;
	}
	if (daemon->err) {
		check_absent(report, daemon);
		return;
	}
	check_version(report, status);
	check_relay(report, member(status, "engines", "relay"));
	check_inline(report, member(status, "engines", "inline"));
	check_reload(report, json_object_get(status, "configuration"));
	check_served(report, status);
	check_pool(report, json_object_get(status, "servers"));
	check_limits_near(report, status);
	check_lines(report, json_object_get(status, "client_log"));
}

bool daemon_serves(const struct doctor_daemon *daemon, const struct conf_listener *listener)
{
	const char *engine = listener->engine == CONF_ENGINE_INLINE ? "inline" : "relay";
	const json_t *served = json_object_get(daemon->status, "listeners");
	const json_t *one;
	size_t i;

	json_array_foreach (served, i, one) {
		if (strcmp(text_of(one, "listener"), listener->name) == 0 &&
		    strcmp(text_of(one, "engine"), engine) == 0)
			return true;
	}
	return !served;
}

/* As the daemon sees it: a path may be relative to where it was started. */
static int stat_of_daemon(const json_t *status, const char *file, struct stat *ret)
{
	unsigned long long pid = number_of(status, "pid");
	_cleanup_free_ char *path = NULL;
	int n = file[0] == '/' ? asprintf(&path, "/proc/%llu/root%s", pid, file)
			       : asprintf(&path, "/proc/%llu/cwd/%s", pid, file);

	return n < 0 ? -1 : stat(path, ret);
}

void check_same_file(struct report *report, const struct doctor_daemon *daemon,
		     const struct conf *conf)
{
	const char *file = text_of(json_object_get(daemon->status, "configuration"), "file");
	struct stat its, ours;

	if (!conf || !conf->file || !daemon->status || !file[0] ||
	    stat_of_daemon(daemon->status, file, &its) < 0 || stat(conf->file, &ours) < 0 ||
	    (its.st_dev == ours.st_dev && its.st_ino == ours.st_ino))
		return;
	report_add(report, FINDING_WARN, "configuration",
		   "unproxy doctor -c that one; or have it serve this one: unproxy run --takeover",
		   "the daemon that runs serves another: %s", file);
}
