// SPDX-License-Identifier: BSD-2-Clause
/* The command: runs a subcommand of the table, nothing else. */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/commands.h"

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		cmd_print_overview(stderr);
		return EXIT_USAGE;
	}
	command = command_find(argv[1]);
	if (command)
		return command->fn(argc - 1, argv + 1);
	if (strcmp(argv[1], "--version") == 0) {
		cmd_print_version(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		cmd_print_overview(stdout);
		return 0;
	}
	fprintf(stderr, "unproxy: no command \"%s\"\n\n", argv[1]);
	cmd_print_overview(stderr);
	return EXIT_USAGE;
}
