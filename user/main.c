// SPDX-License-Identifier: BSD-2-Clause
/* The command: runs a subcommand of the table, nothing else. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/commands.h"

/* What could not be written has not been said. A reader that has had enough is told nothing. */
static int finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (errno != EPIPE)
		fprintf(stderr, "unproxy: standard output: %s\n", strerror(errno));
	return code ? code : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		cmd_print_overview(stderr);
		return EXIT_USAGE;
	}
	command = command_find(argv[1]);
	if (command)
		return finish(command->fn(argc - 1, argv + 1));
	if (strcmp(argv[1], "--version") == 0) {
		cmd_print_version(stdout);
		return finish(EXIT_SUCCESS);
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		cmd_print_overview(stdout);
		return finish(EXIT_SUCCESS);
	}
	fprintf(stderr, "unproxy: no command \"%s\"\n\n", argv[1]);
	cmd_print_overview(stderr);
	return EXIT_USAGE;
}
