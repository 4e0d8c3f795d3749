// SPDX-License-Identifier: BSD-2-Clause
/* unproxy run: the daemon in the foreground. */
#include <stdbool.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "daemon.h"

const char cmd_run_usage[] =
	"usage: unproxy run [--takeover] [-c FILE | flags]\n"
	"\n"
	"Takes the PROXY protocol off and relays to the backend. Runs in the foreground;\n"
	"SIGTERM drains, a second one stops at once, SIGHUP reads the file again and reopens\n"
	"the client log.\n"
	"\n"
	"  --takeover                 take all over from the daemon that runs, if one does:\n"
	"                             listening sockets, live connections, counters\n" FLAGS_HELP;

int cmd_run(int argc, char **argv)
{
	bool takeover = flags_take(&argc, argv, "--takeover");
	struct conf *conf = NULL;
	int code = flags_to_conf(argc, argv, cmd_run_usage, &conf);

	if (code || !conf)
		return code;
	return daemon_run(conf, takeover) ? EXIT_FAILURE : EXIT_SUCCESS;
}
