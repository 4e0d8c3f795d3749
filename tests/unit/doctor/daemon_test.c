// SPDX-License-Identifier: BSD-2-Clause
/* What doctor finds in what a daemon says of itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/version.h"
#include "doctor/daemon.h"

/* A status by another one's words. */
static struct report judge(const char *format, ...)
{
	struct doctor_daemon daemon = { .control = "/run/c.sock" };
	struct report report = { 0 };
	json_error_t error;
	json_t *status;
	va_list ap;

	va_start(ap, format);
	status = json_vpack_ex(&error, 0, format, ap);
	va_end(ap);
	if (!status)
		fail_msg("%s", error.text);
	daemon.status = status;
	check_daemon(&report, &daemon);
	json_decref(status);
	return report;
}

/* The finding with that text in it. */
static const struct finding *find(const struct report *report, const char *text)
{
	for (size_t i = 0; i < report->n; i++) {
		if (strstr(report->findings[i].text, text))
			return &report->findings[i];
	}
	return NULL;
}

static void assert_found(struct report *report, enum finding_level level, const char *name,
			 const char *text)
{
	const struct finding *finding = find(report, text);

	if (!finding)
		fail_msg("no \"%s\"", text);
	assert_int_equal(finding->level, level);
	assert_string_equal(finding->name, name);
	assert_int_equal(finding->mend[0] == '\0', level == FINDING_OK);
}

static void nobody_answers(void **state)
{
	static const struct {
		int err;
		enum finding_level level;
		const char *text;
	} cases[] = {
		{ -ENOENT, FINDING_SKIP, "none runs: there is no /run/c.sock" },
		{ -ECONNREFUSED, FINDING_WARN, "which a dead one left" },
		{ -EACCES, FINDING_SKIP, "may not be asked" },
		{ -EAGAIN, FINDING_FAIL, "it does not answer at /run/c.sock: " },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct doctor_daemon daemon = { .control = "/run/c.sock", .err = cases[i].err };
		struct report report = { 0 };

		check_daemon(&report, &daemon);
		assert_int_equal(report.n, 1);
		assert_found(&report, cases[i].level, "daemon", cases[i].text);
		report_free(&report);
	}
}

static void no_socket(void **state)
{
	const struct doctor_daemon daemon = { 0 };
	struct report report = { 0 };

	check_daemon(&report, &daemon);
	assert_found(&report, FINDING_SKIP, "daemon", "control = off");
	report_free(&report);
}

static void all_is_well(void **state)
{
	struct report report = judge(
		"{s:s, s:i, s:i, s:{s:{s:b, s:i, s:i, s:{s:b, s:b}}, s:{s:b, s:s, s:{s:b, s:b}}},"
		" s:{s:s, s:s, s:i}, s:{s:b, s:i, s:i}, s:[{s:s, s:s, s:s}], s:[{s:s, s:b}],"
		" s:{s:{s:i, s:i}}}",
		"version", UNPROXY_VERSION, "pid", 7, "uptime_s", 3 * 3600 + 61, "engines", "relay",
		"on", 1, "workers", 2, "max_connections", 100, "io_uring", "wanted", 1, "on", 1,
		"inline", "on", 1, "interfaces", "eth0,lo", "hook", "wanted", 1, "on", 1,
		"configuration", "error", "", "restart", "", "generation", 4, "client_log", "on", 1,
		"lines", 9, "dropped", 0, "servers", "backend", "b", "server", "10.0.0.1:80",
		"state", "ready", "listeners", "listener", "web", "open", 1, "maps", "flows",
		"used", 79, "size", 100);

	assert_found(&report, FINDING_OK, "daemon",
		     "version " UNPROXY_VERSION " runs (pid 7), for 3 h 01 min");
	assert_found(&report, FINDING_OK, "daemon relay", "2 workers");
	assert_found(&report, FINDING_OK, "daemon inline", "on eth0,lo");
	assert_found(&report, FINDING_OK, "daemon reload", "generation 4");
	assert_found(&report, FINDING_OK, "daemon limits", "below 80 %");
	assert_found(&report, FINDING_OK, "daemon log", "9 lines");
	assert_int_equal(report.counts[FINDING_OK], report.n);
	report_free(&report);
}

static void another_version(void **state)
{
	struct report report = judge("{s:s, s:i, s:b}", "version", "0.0.1", "pid", 7, "draining",
				     1);

	assert_found(&report, FINDING_WARN, "daemon", "version 0.0.1 runs (pid 7), and this is ");
	assert_found(&report, FINDING_WARN, "daemon", "send nothing new");
	report_free(&report);
}

static void parts_that_are_off(void **state)
{
	struct report report = judge("{s:{s:{s:b, s:{s:b, s:b, s:s}, s:{s:b, s:b}}, s:{s:b, s:s}}}",
				     "engines", "relay", "on", 1, "kernel_path", "wanted", 1, "on",
				     0, "why", "too old", "io_uring", "wanted", 0, "on", 0,
				     "inline", "on", 1, "interfaces", "");

	assert_found(&report, FINDING_WARN, "daemon relay", "kernel path is off: too old");
	assert_null(find(&report, "io_uring"));
	assert_null(find(&report, "workers"));
	assert_found(&report, FINDING_FAIL, "daemon inline", "no interface");
	report_free(&report);
}

static void what_is_served(void **state)
{
	struct report report = judge("{s:{s:s, s:s}, s:[{s:s, s:b, s:b}, {s:s, s:b, s:b}],"
				     " s:[{s:s, s:s, s:s}, {s:s, s:s, s:s}, {s:s, s:s, s:s}]}",
				     "configuration", "error", "a.conf:3: bind: x", "restart",
				     "workers", "listeners", "listener", "web", "open", 0,
				     "draining", 1, "listener", "ssh", "open", 0, "draining", 0,
				     "servers", "backend", "a", "server", "A:1", "state", "resting",
				     "backend", "a", "server", "A:2", "state", "draining",
				     "backend", "b", "server", "B:1", "state", "draining");

	assert_found(&report, FINDING_FAIL, "daemon reload", "refused: a.conf:3: bind: x");
	assert_found(&report, FINDING_WARN, "daemon reload", "restart: workers");
	assert_found(&report, FINDING_WARN, "daemon listener", "web was drained");
	assert_found(&report, FINDING_FAIL, "daemon listener", "ssh takes no connections");
	assert_found(&report, FINDING_WARN, "daemon server", "A:1 of a could not be reached");
	assert_found(&report, FINDING_WARN, "daemon server", "A:2 of a was drained");
	assert_found(&report, FINDING_FAIL, "daemon server", "B:1 of b was drained");
	report_free(&report);
}

static void limits_that_are_near(void **state)
{
	struct report report =
		judge("{s:{s:{s:b, s:i}}, s:[{s:s, s:s, s:i, s:b}, {s:s, s:s, s:i, s:b}],"
		      " s:{s:{s:i, s:i}, s:{s:i, s:i}, s:{s:i, s:i}}, s:{s:b, s:i}}",
		      "engines", "relay", "on", 1, "max_connections", 10, "listeners", "listener",
		      "a", "engine", "relay", "connections", 8, "open", 1, "listener", "b",
		      "engine", "inline", "connections", 1000, "open", 1, "maps", "deny", "used", 5,
		      "size", 5, "flows", "used", 79, "size", 100, "connections", "used", 0, "size",
		      0, "client_log", "on", 1, "dropped", 3);

	assert_found(&report, FINDING_WARN, "daemon limits", "connections of the relay: 8 of 10");
	assert_found(&report, FINDING_FAIL, "daemon limits", "deny: 5 of 5");
	assert_null(find(&report, "flows"));
	assert_null(find(&report, "below"));
	assert_found(&report, FINDING_WARN, "daemon log", "3 lines of the client log were lost");
	report_free(&report);
}

static void which_listeners_it_serves(void **state)
{
	json_t *status = json_pack("{s:[{s:s, s:s}]}", "listeners", "listener", "web", "engine",
				   "inline");
	struct doctor_daemon daemon = { .control = "/run/c.sock", .status = status };
	struct conf_listener listener = { .name = "web", .engine = CONF_ENGINE_INLINE };

	assert_true(daemon_serves(&daemon, &listener));
	listener.engine = CONF_ENGINE_RELAY;
	assert_false(daemon_serves(&daemon, &listener));
	listener = (struct conf_listener){ .name = "we", .engine = CONF_ENGINE_INLINE };
	assert_false(daemon_serves(&daemon, &listener));
	daemon.status = NULL; /* not known */
	assert_true(daemon_serves(&daemon, &listener));
	json_decref(status);
}

static void another_file(void **state)
{
	struct conf conf = { .file = (char *)"/proc/self/status" };
	json_t *status = json_pack("{s:i, s:{s:s}}", "pid", getpid(), "configuration", "file",
				   "/proc/self/status");
	struct doctor_daemon daemon = { .control = "/run/c.sock", .status = status };
	struct report report = { 0 };

	check_same_file(&report, &daemon, &conf);
	assert_int_equal(report.n, 0);
	conf.file = (char *)"/proc/self/limits";
	check_same_file(&report, &daemon, &conf);
	assert_found(&report, FINDING_WARN, "configuration",
		     "the daemon that runs serves another: /proc/self/status");
	report_free(&report);
	json_decref(status);
}

/* Of a daemon of another version, or none at all. */
static void an_empty_answer(void **state)
{
	struct report report = judge("{}");

	assert_int_equal(report.counts[FINDING_FAIL], 0);
	report_free(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(no_socket),
		cmocka_unit_test(all_is_well),
		cmocka_unit_test(another_version),
		cmocka_unit_test(parts_that_are_off),
		cmocka_unit_test(what_is_served),
		cmocka_unit_test(limits_that_are_near),
		cmocka_unit_test(an_empty_answer),
		cmocka_unit_test(which_listeners_it_serves),
		cmocka_unit_test(another_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
