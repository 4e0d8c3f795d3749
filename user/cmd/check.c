/* SPDX-License-Identifier: BSD-2-Clause */
/* unproxy check: read a configuration as `run` does, and say in short what it means. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "client/deny_file.h"
#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "conf/keys.h"
#include "doctor/warnings.h"

const char cmd_check_usage[] =
	"usage: unproxy check [--strict] [--offline] [-c FILE | flags]\n"
	"       unproxy check --reference    all keys, as Markdown\n"
	"\n"
	"Reads the configuration as unproxy run does, and says what it means or "
	"what is wrong.\n"
	"Warns (file:line: warning: ...) of what is valid and probably not meant: for that it\n"
	"looks at ports, addresses and interfaces of this host, and connects to the servers for\n"
	"a second at most.\n"
	"\n"
	"  --strict                   a warning makes the exit code 1\n"
	"  --offline                  look at the configuration alone, not at host and servers\n"
	"\n" FLAGS_HELP;

static void print_binds(const struct conf_listener *listener)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < listener->n_binds; i++) {
		const struct conf_bind *bind = &listener->binds[i];

		(void)addr_format(&bind->addr, text, sizeof(text));
		(void)printf(i == 0 ? " %s" : ", %s", text);
		if (bind->last_port != bind->addr.port)
			(void)printf("-%u", bind->last_port);
	}
}

static void print_inline(const struct conf_listener *listener)
{
	char text[ADDR_TEXT_MAX];

	(void)printf(" inline, port %u", listener->port.wire);
	if (listener->port.app != listener->port.wire)
		(void)printf(" -> %u", listener->port.app);
	for (size_t i = 0; i < listener->n_addresses; i++) {
		(void)addr_format_ip(&listener->addresses[i], text, sizeof(text));
		(void)printf(i == 0 ? " on %s" : ", %s", text);
	}
	for (size_t i = 0; i < listener->n_interfaces; i++)
		(void)printf(i == 0 ? ", interfaces %s" : ", %s", listener->interfaces[i].name);
}

static void print_listener(const struct conf_listener *listener)
{
	(void)printf("listener %s:", listener->name);
	if (listener->engine == CONF_ENGINE_INLINE)
		print_inline(listener);
	else
		print_binds(listener);
	if (listener->trust.any)
		(void)printf(", trusts anyone");
	else
		(void)printf(", trusts %zu %s", listener->trust.n_rules,
			     listener->trust.n_rules == 1 ? "network" : "networks");
	(void)printf(", header %s",
		     listener->header == CONF_HEADER_OPTIONAL ? "optional" : "required");
	if (listener->backend)
		(void)printf(" -> backend %s", listener->backend->name);
	(void)printf("\n");
}

static bool is_used(const struct conf *conf, const struct conf_backend *backend)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (conf->listeners[i].backend == backend)
			return true;
	}
	return false;
}

static void print_backend(const struct conf *conf, const struct conf_backend *backend)
{
	char text[ADDR_TEXT_MAX];

	(void)printf("backend %s:", backend->name);
	for (size_t i = 0; i < backend->n_servers; i++) {
		const struct conf_server *server = &backend->servers[i];

		(void)addr_format(&server->addr, text, sizeof(text));
		(void)printf(i == 0 ? " %s" : ", %s", text);
		if (server->weight != 1)
			(void)printf(" weight=%" PRIu32, server->weight);
	}
	if (backend->n_servers > 1)
		(void)printf(", %s", backend->balance == CONF_BALANCE_LEASTCONN ? "leastconn"
										: "roundrobin");
	(void)printf("%s\n", is_used(conf, backend) ? "" : " (no listener uses it)");
}

struct warnings {
	const struct conf *conf;
	unsigned n;
};

static void print_warning(void *context, unsigned line, const char *key, const char *text)
{
	struct warnings *warnings = context;
	const char *file = warnings->conf->file;
	char where[384];

	warnings->n++;
	(void)conf_where(file, line, file ? NULL : key, where, sizeof(where));
	(void)fprintf(stderr, "%swarning: %s%s%s\n", where, file ? key : "", file ? ": " : "",
		      text);
}

static unsigned print_warnings(const struct conf *conf, bool offline)
{
	struct warnings warnings = { .conf = conf };

	(void)fflush(stdout);
	warnings_of_conf(conf, print_warning, &warnings);
	if (!offline) {
		warnings_of_host(conf, print_warning, &warnings);
		warnings_of_sockets(conf, print_warning, &warnings);
	}
	return warnings.n;
}

/* What the file says is part of the configuration. 0, or -errno after a message. */
static int print_deny_file(const struct conf *conf)
{
	_cleanup_(deny_rules_free) struct deny_rules rules = { 0 };
	char why[512];
	int err;

	if (!conf->deny_file)
		return 0;
	err = deny_file_read(conf->deny_file, conf->deny_entries, &rules, why, sizeof(why));
	if (err)
		(void)fprintf(stderr, "%s\n", why);
	else
		(void)printf("deny file: %zu %s\n", rules.n, rules.n == 1 ? "network" : "networks");
	return err;
}

int cmd_check(int argc, char **argv)
{
	_cleanup_(conf_freep) struct conf *conf = NULL;
	bool strict = flags_take(&argc, argv, "--strict");
	bool offline = flags_take(&argc, argv, "--offline");
	int r;

	if (argc == 2 && strcmp(argv[1], "--reference") == 0)
		return key_print_reference(stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

	r = flags_to_conf(argc, argv, cmd_check_usage, &conf);
	if (r != 0 || !conf)
		return r;
	for (size_t i = 0; i < conf->n_listeners; i++)
		print_listener(&conf->listeners[i]);
	for (size_t i = 0; i < conf->n_backends; i++)
		print_backend(conf, &conf->backends[i]);
	(void)printf("client log: %s%s\n", conf->client_log ? conf->client_log : "off",
		     conf->log_format == CONF_LOG_TEXT ? " (text)" : "");
	if (print_deny_file(conf))
		return EXIT_FAILURE;
	return print_warnings(conf, offline) && strict ? EXIT_FAILURE : EXIT_SUCCESS;
}
