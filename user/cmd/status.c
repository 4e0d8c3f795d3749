// SPDX-License-Identifier: BSD-2-Clause
/* unproxy status: one screen of what the daemon is and does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/table.h"

const char cmd_status_usage[] =
	"usage: unproxy status [--json]\n"
	"\n"
	"What the running daemon is and does, on one screen. Exit code 0: all is well; 1: it\n"
	"serves, but something is wrong (a server that cannot be reached, a listener that takes\n"
	"no connections, a reload that was refused), which the last lines name; 2: no daemon\n"
	"answers.\n\n" ASK_HELP;

/* "kernel path on", "kernel path off (why)"; nothing for what was not asked for. */
static void print_part(const json_t *engine, const char *name, const char *text)
{
	const json_t *part = json_object_get(engine, name);
	const char *why = ask_text(part, "why");

	if (json_is_true(json_object_get(part, "on")))
		(void)printf(", %s on", text);
	else if (json_is_true(json_object_get(part, "wanted")))
		(void)printf(", %s off%s%s%s", text, why[0] ? " (" : "", why, why[0] ? ")" : "");
	else
		(void)printf(", no %s", text);
}

static void print_engines(const json_t *status)
{
	const json_t *relay = ask_get(status, "engines.relay");
	const json_t *engine = ask_get(status, "engines.inline");

	if (json_is_true(json_object_get(relay, "on"))) {
		(void)printf("relay        %lld workers", ask_number(relay, "workers"));
		print_part(relay, "io_uring", "io_uring");
		print_part(relay, "kernel_path", "kernel path");
		print_part(relay, "hook", "address hook");
		(void)printf("\n");
	}
	if (json_is_true(json_object_get(engine, "on"))) {
		(void)printf("inline       on %s", ask_text(engine, "interfaces"));
		print_part(engine, "hook", "address hook");
		(void)printf("\n");
	}
}

static const char *listener_state(const json_t *listener)
{
	if (json_is_true(json_object_get(listener, "draining")))
		return "draining";
	return json_is_true(json_object_get(listener, "open")) ? "open" : "closed";
}

static void count(const json_t *object, const char *name, char *buf, size_t size)
{
	table_count((uint64_t)ask_number(object, name), buf, size);
}

static void print_listeners(const json_t *status)
{
	const json_t *list = json_object_get(status, "listeners");

	(void)printf("\n%-16s %-7s %5s  %-9s %5s %8s %7s  %s\n", "LISTENER", "ENGINE", "PORT",
		     "STATE", "CONNS", "ACCEPTED", "REFUSED", "BACKEND");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *l = json_array_get(list, i);
		char now[16], accepted[16], refused[16];

		count(l, "connections", now, sizeof(now));
		count(l, "accepted", accepted, sizeof(accepted));
		count(l, "refused", refused, sizeof(refused));
		(void)printf("%-16s %-7s %5lld  %-9s %5s %8s %7s  %s\n", ask_text(l, "listener"),
			     ask_text(l, "engine"), ask_number(l, "port"), listener_state(l), now,
			     accepted, refused, ask_text(l, "backend"));
	}
}

static void print_servers(const json_t *status)
{
	const json_t *list = json_object_get(status, "servers");

	if (json_array_size(list) > 0)
		(void)printf("\n%-16s %-21s %-9s %6s %5s %8s %6s\n", "BACKEND", "SERVER", "STATE",
			     "WEIGHT", "CONNS", "TOTAL", "FAILED");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *s = json_array_get(list, i);
		char now[16], total[16], failed[16];

		count(s, "connections", now, sizeof(now));
		count(s, "total", total, sizeof(total));
		count(s, "failed", failed, sizeof(failed));
		(void)printf("%-16s %-21s %-9s %6lld %5s %8s %6s\n", ask_text(s, "backend"),
			     ask_text(s, "server"), ask_text(s, "state"), ask_number(s, "weight"),
			     now, total, failed);
	}
}

/* "copy 1.2k, splice 31M": what is not 0. */
static void print_counts(const char *name, const json_t *counts)
{
	const char *key, *between = "";
	json_t *value;

	(void)printf("%-12s ", name);
	json_object_foreach ((json_t *)counts, key, value) {
		char text[16];

		if (json_integer_value(value) <= 0)
			continue;
		table_count((uint64_t)json_integer_value(value), text, sizeof(text));
		(void)printf("%s%s %s", between, key, text);
		between = ", ";
	}
	(void)printf("%s\n", between[0] ? "" : "-");
}

static void print_problems(const json_t *status)
{
	const json_t *list = json_object_get(status, "problems");

	for (size_t i = 0; i < json_array_size(list); i++)
		(void)printf("%s%s\n", i ? "" : "\n", json_string_value(json_array_get(list, i)));
}

static void print_configuration(const json_t *status)
{
	const char *restart = ask_text(status, "configuration.restart");
	const json_t *text;
	size_t i;

	(void)printf("generation   %lld, %lld reloads, %lld refused\n",
		     ask_number(status, "configuration.generation"),
		     ask_number(status, "configuration.reloads"),
		     ask_number(status, "configuration.refused"));
	if (*restart)
		(void)printf("  wait for a restart: %s\n", restart);
	json_array_foreach (ask_get(status, "changed"), i, text)
		(void)printf("  at run time: %s\n", json_string_value(text));
}

static void print(const json_t *status)
{
	char age[16];

	table_age((uint64_t)ask_number(status, "uptime_s"), age, sizeof(age));
	(void)printf("unproxy %s, pid %lld, up %s, %s\n", ask_text(status, "version"),
		     ask_number(status, "pid"), age,
		     json_is_true(json_object_get(status, "ready")) ? "ready" : "NOT READY");
	print_engines(status);
	print_counts("connections", json_object_get(status, "connections"));
	print_counts("bytes up", ask_get(status, "bytes.up"));
	print_counts("bytes down", ask_get(status, "bytes.down"));
	print_counts("headers", json_object_get(status, "headers"));
	print_counts("refused", json_object_get(status, "refused"));
	print_counts("ended", json_object_get(status, "ended"));
	print_counts("probes", json_object_get(status, "probes"));
	print_configuration(status);
	print_listeners(status);
	print_servers(status);
	print_problems(status);
}

int cmd_status(int argc, char **argv)
{
	struct ask_flags flags;
	json_t *status = NULL;
	int code = ask_flags(argc, argv, cmd_status_usage, &flags);

	if (code)
		return code - 1;
	if (flags.rest < argc)
		return cmd_usage_error("status", "one word too many: ", argv[flags.rest]);
	code = ask_once(&flags, "status", NULL, &status);
	if (code)
		return EXIT_USAGE;
	if (flags.json) {
		ask_print(status);
	} else {
		print(status);
	}
	code = json_array_size(json_object_get(status, "problems")) > 0 ? EXIT_FAILURE
									: EXIT_SUCCESS;
	json_decref(status);
	return code;
}
