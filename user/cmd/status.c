// SPDX-License-Identifier: BSD-2-Clause
/* unproxy status: one screen of what the daemon is and does. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/ask.h"
#include "cmd/cmd.h"

const char cmd_status_usage[] =
	"usage: unproxy status [--json]\n"
	"\n"
	"What the running daemon is and does, on one screen. Exit code 0: it is\n"
	"well; 1: it is not, and says why; 2: no daemon answers.\n\n" ASK_HELP;

static void print_connections(const json_t *status)
{
	(void)printf("connections  %lld now, %lld accepted, %lld refused, %lld probes\n",
		     ask_number(status, "connections.active"),
		     ask_number(status, "connections.accepted"),
		     ask_number(status, "connections.refused"),
		     ask_number(status, "connections.probes"));
}

static void print_configuration(const json_t *status)
{
	const char *error = ask_text(status, "configuration.error");
	const char *restart = ask_text(status, "configuration.restart");
	const json_t *text;
	size_t i;

	(void)printf("generation   %lld, %lld reloads, %lld refused\n",
		     ask_number(status, "configuration.generation"),
		     ask_number(status, "configuration.reloads"),
		     ask_number(status, "configuration.refused"));
	if (*error)
		(void)printf("  the last reload was refused: %s\n", error);
	if (*restart)
		(void)printf("  wait for a restart: %s\n", restart);
	json_array_foreach (ask_get(status, "changed"), i, text)
		(void)printf("  at run time: %s\n", json_string_value(text));
}

static void print(const json_t *status)
{
	(void)printf("unproxy %s, pid %lld, up %lld s\n", ask_text(status, "version"),
		     ask_number(status, "pid"), ask_number(status, "uptime_s"));
	print_connections(status);
	print_configuration(status);
}

int cmd_status(int argc, char **argv)
{
	struct ask_flags flags;
	json_t *status = NULL;
	int code = ask_flags(argc, argv, cmd_status_usage, &flags);

	if (code)
		return code - 1;
	code = ask_once(&flags, "status", NULL, &status);
	if (code)
		return code;
	if (flags.json) {
		(void)json_dumpf(status, stdout, JSON_INDENT(2));
		(void)printf("\n");
	} else {
		print(status);
	}
	json_decref(status);
	return EXIT_SUCCESS;
}
