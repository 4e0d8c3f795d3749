// SPDX-License-Identifier: BSD-2-Clause
/* unproxy run: the daemon in the foreground. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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

/* Take a word without a value out of argv. Returns whether it was there. */
static bool take_flag(int *argc, char **argv, const char *flag)
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], flag) != 0)
			continue;
		for (; i + 1 < *argc; i++)
			argv[i] = argv[i + 1];
		argv[--*argc] = NULL;
		return true;
	}
	return false;
}

int cmd_run(int argc, char **argv)
{
	bool takeover = take_flag(&argc, argv, "--takeover");
	struct conf *conf = NULL;
	int code = flags_to_conf(argc, argv, cmd_run_usage, &conf);

	if (code || !conf)
		return code;
	return daemon_run(conf, takeover) ? EXIT_FAILURE : EXIT_SUCCESS;
}
