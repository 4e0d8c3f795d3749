// SPDX-License-Identifier: BSD-2-Clause
/* The table of subcommands. */
#include "cmd/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"

const struct command commands[] = {
	{ "run", cmd_run, "take the PROXY protocol off and relay to the backend", cmd_run_usage },
	{ "conns", cmd_conns, "live connections with their true clients", cmd_conns_usage },
	{ "top", cmd_top, "live connections in the terminal, the busiest first", cmd_top_usage },
	{ "kill", cmd_kill, "reset connections", cmd_kill_usage },
	{ "status", cmd_status, "what the running daemon is and does", cmd_status_usage },
	{ "deny", cmd_deny, "refuse clients by their true address", cmd_deny_usage },
	{ "reload", cmd_reload, "have the daemon read its configuration again", cmd_reload_usage },
	{ "backend", cmd_backend, "add, remove, drain or weigh a server, at run time",
	  cmd_backend_usage },
	{ "listener", cmd_listener, "have a listener take no connections, or again",
	  cmd_listener_usage },
	{ "drain", cmd_drain, "tell balancers that this host is not ready", cmd_drain_usage },
	{ "ready", cmd_ready, "tell them that it is, again", cmd_ready_usage },
	{ "store", cmd_store, "leave all connections to systemd, for the next start",
	  cmd_store_usage },
	{ "detach", cmd_detach, "take what engine = inline left on the interfaces away",
	  cmd_detach_usage },
	{ "check", cmd_check, "validate a configuration: file:line: message", cmd_check_usage },
	{ "doctor", cmd_doctor, "what this kernel and host can do, and what stands in the way",
	  cmd_doctor_usage },
	{ "explain", cmd_explain, "decode a PROXY header, name what is wrong with it",
	  cmd_explain_usage },
	{ "help", cmd_help, "say more about a command or a key of the configuration",
	  cmd_help_usage },
};
const size_t n_commands = ARRAY_SIZE(commands);

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < n_commands; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

int cmd_usage_error(const char *command, const char *message, const char *word)
{
	(void)fprintf(stderr, "unproxy %s: %s%s (see unproxy %s --help)\n", command, message, word,
		      command);
	return EXIT_USAGE;
}
