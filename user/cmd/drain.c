// SPDX-License-Identifier: BSD-2-Clause
/* unproxy drain, unproxy ready: what the host answers to whoever asks whether it is ready. And
 * unproxy store, which takes no words either. */
#include "cmd/ask.h"
#include "cmd/cmd.h"

const char cmd_drain_usage[] =
	"usage: unproxy drain\n"
	"\n"
	"The host is not ready any more: /readyz says so, balancers turn away.\n"
	"Connections go on, and new ones are served until nobody sends them. Then stop\n"
	"the daemon, or say unproxy ready.\n\n" ASK_HELP;

const char cmd_ready_usage[] = "usage: unproxy ready\n"
			       "\n"
			       "Takes unproxy drain back.\n\n" ASK_HELP;

const char cmd_store_usage[] =
	"usage: unproxy store\n"
	"\n"
	"The daemon has systemd keep its listening sockets and connections for the next\n"
	"start, and ends: what ExecStop= of the unit says for `systemctl restart`.\n\n" ASK_HELP;

static int say(int argc, char **argv, const char *usage)
{
	struct ask_flags flags;
	int code = ask_flags(argc, argv, usage, &flags);

	if (code)
		return code - 1;
	if (flags.rest < argc)
		return cmd_usage_error(argv[0], "one word too many: ", argv[flags.rest]);
	return ask_order(&flags, argv[0], NULL);
}

int cmd_drain(int argc, char **argv)
{
	return say(argc, argv, cmd_drain_usage);
}

int cmd_ready(int argc, char **argv)
{
	return say(argc, argv, cmd_ready_usage);
}

int cmd_store(int argc, char **argv)
{
	return say(argc, argv, cmd_store_usage);
}
