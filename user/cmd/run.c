// SPDX-License-Identifier: BSD-2-Clause
/* unproxy run: the daemon in the foreground. */
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/flags.h"
#include "daemon.h"

const char cmd_run_usage[] =
	"usage: unproxy run [-c FILE | flags]\n"
	"\n"
	"Takes the PROXY protocol off and relays to the backend. Runs in the foreground;\n"
	"SIGTERM drains, a second one stops at once, SIGHUP reads the file again and reopens the "
	"client log.\n\n" FLAGS_HELP;

int cmd_run(int argc, char **argv)
{
	struct conf *conf = NULL;
	int code = flags_to_conf(argc, argv, cmd_run_usage, &conf);

	if (code || !conf)
		return code;
	return daemon_run(conf) ? EXIT_FAILURE : EXIT_SUCCESS;
}
