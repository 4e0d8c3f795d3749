// SPDX-License-Identifier: BSD-2-Clause
/* unproxy listener: takes connections no more, or again. */
#include <string.h>

#include "cmd/ask.h"
#include "cmd/cmd.h"

const char cmd_listener_usage[] =
	"usage: unproxy listener NAME drain|ready\n"
	"\n"
	"A drained listener refuses new connections, so that a balancer's check sees\n"
	"it; those it has go on. Until `ready`, or the next reload.\n\n" ASK_HELP;

int cmd_listener(int argc, char **argv)
{
	struct ask_flags flags;
	int code = ask_flags(argc, argv, cmd_listener_usage, &flags);

	if (code)
		return code - 1;
	if (argc - flags.rest != 2)
		return cmd_usage_error("listener", "expected NAME and drain or ready", "");
	return ask_order(&flags, "listener",
			 json_pack("{s:s, s:s}", "listener", argv[flags.rest], "action",
				   argv[flags.rest + 1]));
}
