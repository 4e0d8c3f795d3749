// SPDX-License-Identifier: BSD-2-Clause
/* unproxy doctor: one line a check, with the mend. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "doctor/doctor.h"

const char cmd_doctor_usage[] =
	"usage: unproxy doctor [--json] [--control FILE] [-c FILE | flags]\n"
	"\n"
	"Looks at the kernel, the host and, if there is a configuration, at its servers and\n"
	"listeners, and asks a daemon that runs how it fares. A line for each check: OK, WARN,\n"
	"FAIL or SKIP, what is, and what to do. It changes nothing; with a configuration it\n"
	"connects to the servers, and through the listeners of a running daemon, as a balancer\n"
	"on this host would.\n"
	"Exit code: 0, or 1 if anything is FAIL.\n"
	"\n"
	"  --json                     one object, for machines\n"
	"  --control FILE             beside -c FILE, too: the daemon to ask\n\n" FLAGS_HELP;

/* Without a word, and without a file at the usual place: the host alone. */
static bool has_conf(int argc)
{
	return argc > 1 || access(FLAGS_DEFAULT_FILE, F_OK) == 0;
}

static void cleanup_status(json_t **status)
{
	json_decref(*status);
}

/* control: NULL: what the configuration says, or else the usual one. */
static void examine(const struct conf *conf, const char *control, struct report *report)
{
	_cleanup_(cleanup_status) json_t *status = NULL;
	struct doctor_daemon daemon = { .control = conf ? conf->control : ASK_DEFAULT_PATH };

	if (control)
		daemon.control = control;
	if (daemon.control)
		daemon.err = ask_quietly(daemon.control, "status", &status);
	daemon.status = status;
	doctor_examine(conf, &daemon, report);
}

int cmd_doctor(int argc, char **argv)
{
	_cleanup_(conf_freep) struct conf *conf = NULL;
	_cleanup_(report_free) struct report report = { 0 };
	bool json = flags_take(&argc, argv, "--json");
	const char *control = flags_take_value(&argc, argv, "--control");
	struct conf_error error = { "" };
	int code = 0;

	if (has_conf(argc)) {
		code = flags_try_conf(argc, argv, cmd_doctor_usage, &conf, &error);
		if (code == EXIT_USAGE || (code == 0 && !conf))
			return code;
	}
	if (error.text[0])
		report_add(&report, FINDING_FAIL, "configuration", NULL, "%s", error.text);
	else if (!conf)
		report_add(&report, FINDING_SKIP, "configuration",
			   "unproxy doctor -c FILE: listeners and servers, too", "none given");
	examine(conf, control, &report);
	code = json ? report_print_json(&report, stdout) : report_print(&report, stdout);
	return code < 0 || report.counts[FINDING_FAIL] ? EXIT_FAILURE : EXIT_SUCCESS;
}
