// SPDX-License-Identifier: BSD-2-Clause
/* unproxy conns: live connections; unproxy kill: the end of some. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/table.h"

/* Laid out for cmd/usage, as every usage. */
#define FILTER_HELP                                                   \
	"  ID                   the connection of this id\n"          \
	"  client=CIDR          of these true clients\n"              \
	"  balancer=CIDR        by way of these load balancers\n"     \
	"  server=CIDR          to these servers\n"                   \
	"  listener=NAME        of this listener\n"                   \
	"  backend=NAME         of this backend\n"                    \
	"  engine=relay|inline  of this engine\n"                     \
	"  older=TIME           older than that, such as 90s or 1h\n" \
	"  vpce=ID              by way of this AWS VPC endpoint\n"

const char cmd_conns_usage[] =
	"usage: unproxy conns [FILTER...] [--json]\n"
	"\n"
	"Live connections: the true client, the load balancer, where it goes, what moves its\n"
	"bytes (up/down), its age and bytes. All filters must hold:\n"
	"\n" FILTER_HELP ASK_HELP;

const char cmd_kill_usage[] =
	"usage: unproxy kill ID|FILTER... [--json]\n"
	"       unproxy kill all [--json]\n"
	"\n"
	"Resets connections, both sides of them; the client log names \"killed\" as the reason.\n"
	"With engine = inline only connections whose app is in the daemon's own network\n"
	"namespace. Exit code 1: some could not be reset, or ID is not there. All filters must\n"
	"hold:\n"
	"\n" FILTER_HELP "  all                  every connection\n" ASK_HELP;

struct row {
	char client[ADDR_TEXT_MAX], balancer[ADDR_TEXT_MAX], server[ADDR_TEXT_MAX];
	char age[16], up[16], down[16], path[32];
};

static void endpoint(const json_t *item, const char *name, char *buf, size_t size)
{
	char ip[32], port[32];

	(void)snprintf(ip, sizeof(ip), "%s_ip", name);
	(void)snprintf(port, sizeof(port), "%s_port", name);
	table_endpoint(ask_text(item, ip), ask_number(item, port), buf, size);
}

static void describe(const json_t *item, struct row *row)
{
	const char *up = ask_text(item, "path_up"), *down = ask_text(item, "path_down");

	endpoint(item, "client", row->client, sizeof(row->client));
	endpoint(item, "balancer", row->balancer, sizeof(row->balancer));
	endpoint(item, "backend", row->server, sizeof(row->server));
	table_age((uint64_t)json_number_value(json_object_get(item, "duration")), row->age,
		  sizeof(row->age));
	table_count((uint64_t)ask_number(item, "bytes_up"), row->up, sizeof(row->up));
	table_count((uint64_t)ask_number(item, "bytes_down"), row->down, sizeof(row->down));
	if (strcmp(up, down) == 0)
		(void)snprintf(row->path, sizeof(row->path), "%s", up);
	else
		(void)snprintf(row->path, sizeof(row->path), "%s/%s", up, down);
}

static void print_tlvs(const json_t *item)
{
	_cleanup_free_ char *text = NULL;
	const json_t *tlvs = json_object_get(item, "tlv");

	if (tlvs)
		text = json_dumps(tlvs, JSON_COMPACT | JSON_ENSURE_ASCII);
	(void)printf("%s%s\n", text ? "  " : "", text ? text : "");
}

static void print_head(bool *headed)
{
	if (!*headed)
		(void)printf("%-17s %-21s %-21s %-10s %-21s %-13s %-7s %6s %5s %5s\n", "ID",
			     "CLIENT", "BALANCER", "LISTENER", "SERVER", "PATH", "STATE", "AGE",
			     "UP", "DOWN");
	*headed = true;
}

static int print_row(void *context, json_t *item)
{
	const char *state = ask_text(item, "state");
	struct row row;

	print_head(context);
	describe(item, &row);
	(void)printf("%-17s %-21s %-21s %-10s %-21s %-13s %-7s %6s %5s %5s", ask_text(item, "conn"),
		     row.client, row.balancer, ask_text(item, "listener"), row.server, row.path,
		     state, row.age, row.up, row.down);
	print_tlvs(item);
	return ferror(stdout) ? -EIO : 0;
}

static int list(const struct ask_flags *flags, json_t *args)
{
	struct ask *ask = NULL;
	json_t *end = NULL;
	bool headed = flags->json;
	int err = ask_open(flags, "conns", &ask);

	if (err) {
		json_decref(args);
		return EXIT_USAGE;
	}
	err = ask_send(ask, "conns", args);
	if (!err)
		err = ask_read(ask, flags->json ? ask_print_item : print_row, &headed, &end);
	if (!err)
		print_head(&headed);
	json_decref(end);
	ask_close(ask);
	return ask_exit_code(err);
}

int cmd_conns(int argc, char **argv)
{
	struct ask_flags flags;
	int code = ask_flags(argc, argv, cmd_conns_usage, &flags);
	json_t *args;

	if (code)
		return code - 1;
	args = ask_filter("conns", argc - flags.rest, argv + flags.rest);
	return args ? list(&flags, args) : EXIT_USAGE;
}

/* id: of the one that is meant, or NULL. A filter that nothing meets is obeyed; a connection that
 * is not there cannot be. */
static int print_killed(const struct ask_flags *flags, const char *id, json_t *data)
{
	int err = ask_killed("kill", data);
	long long killed = ask_number(data, "killed");
	bool missing = id && !killed && !err;

	if (flags->json)
		(void)ask_print_item(NULL, data);
	else if (!missing)
		(void)printf("killed: %lld\n", killed);
	if (missing)
		(void)fprintf(stderr, "unproxy kill: no such connection is open: %s\n", id);
	return missing ? EXIT_FAILURE : ask_exit_code(err);
}

int cmd_kill(int argc, char **argv)
{
	struct ask_flags flags;
	json_t *args, *data = NULL;
	const char *id = NULL;
	int code = ask_flags(argc, argv, cmd_kill_usage, &flags);

	if (code)
		return code - 1;
	if (flags.rest == argc)
		return cmd_usage_error("kill", "which?", "");
	for (int i = flags.rest; i < argc; i++)
		id = strchr(argv[i], '=') ? id : argv[i];
	if (argc - flags.rest == 1 && strcmp(argv[flags.rest], "all") == 0) {
		args = json_pack("{s:b}", "all", 1);
		id = NULL;
	} else {
		args = ask_filter("kill", argc - flags.rest, argv + flags.rest);
	}
	if (!args)
		return EXIT_USAGE;
	code = ask_once(&flags, "kill", args, &data);
	if (code)
		return code;
	code = print_killed(&flags, id, data);
	json_decref(data);
	return code;
}
