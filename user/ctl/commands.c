// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/commands.h"

const struct ctl_command ctl_commands[] = {
	{ "help", ctl_cmd_help, "", "the commands there are" },
	{ "status", ctl_cmd_status, "", "what the daemon is and does, in one object" },
	{ 0 },
};

int ctl_cmd_help(struct ctl_request *request)
{
	for (const struct ctl_command *command = ctl_commands; command->name; command++)
		(void)ctl_item(request, json_pack("{s:s, s:s, s:s}", "cmd", command->name, "args",
						  command->args, "help", command->help));
	return ctl_end(request);
}
