// SPDX-License-Identifier: BSD-2-Clause
/* unproxy help: the commands' own usage texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/commands.h"

const char cmd_help_usage[] =
	"usage: unproxy help [COMMAND]\n"
	"\n"
	"Without a word: all commands. With one: what COMMAND --help prints.\n"
	"\n"
	"  -h, --help   this text\n";

void cmd_print_overview(FILE *out)
{
	(void)fprintf(out, "usage: unproxy COMMAND [...]\n\n");
	for (size_t i = 0; i < n_commands; i++)
		(void)fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
	(void)fprintf(out, "\nunproxy help COMMAND says more; unproxy --version prints the "
			   "version.\n");
}

int cmd_help(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		cmd_print_overview(stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		(void)fputs(cmd_help_usage, stdout);
		return EXIT_SUCCESS;
	}
	command = argc == 2 ? command_find(argv[1]) : NULL;
	if (!command) {
		(void)fprintf(stderr, "unproxy help: no command \"%s\"\n\n", argv[argc - 1]);
		cmd_print_overview(stderr);
		return EXIT_USAGE;
	}
	(void)fputs(command->usage, stdout);
	return EXIT_SUCCESS;
}
