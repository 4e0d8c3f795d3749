// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/commands.h"

#include "client/conn.h"

const struct ctl_command ctl_commands[] = {
	{ "help", ctl_cmd_help, "", "the commands there are" },
	{ "conns", ctl_cmd_conns, CONN_FILTER_NAMES, "live connections, an item each" },
	{ "kill", ctl_cmd_kill, CONN_FILTER_NAMES " all",
	  "reset the connections that match; one filter at least, or \"all\":true" },
	{ "status", ctl_cmd_status, "", "what the daemon is and does, in one object" },
	{ "deny_add", ctl_cmd_deny_add, "rule kill",
	  "refuse a network's clients, or allow them; with \"kill\":true end those there are" },
	{ "deny_del", ctl_cmd_deny_del, "cidr", "take back what deny_add said" },
	{ "deny_list", ctl_cmd_deny_list, "cidr", "what is said of networks, all or these" },
	{ "reload", ctl_cmd_reload, "", "read the configuration again and go by it" },
	{ "backend", ctl_cmd_backend, "backend action server weight",
	  "a server of a backend: add, remove, drain, ready or weight" },
	{ "listener", ctl_cmd_listener, "listener action", "a listener: drain or ready" },
	{ "drain", ctl_cmd_drain, "", "the host is not ready any more" },
	{ "ready", ctl_cmd_ready, "", "the host is ready again" },
	{ "store", ctl_cmd_store, "",
	  "have the service manager keep all connections for the next start, and end" },
	{ 0 },
};

int ctl_cmd_help(struct ctl_request *request)
{
	for (const struct ctl_command *command = ctl_commands; command->name; command++)
		(void)ctl_item(request, json_pack("{s:s, s:s, s:s}", "cmd", command->name, "args",
						  command->args, "help", command->help));
	return ctl_end(request);
}
