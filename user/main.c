// SPDX-License-Identifier: BSD-2-Clause
/* The command: a table of subcommands, nothing else. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"

#define VERSION "0.1.0"

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", cmd_run, "take the PROXY protocol off and relay to the backend" },
	{ "detach", cmd_detach, "take what engine = inline left on the interfaces away" },
	{ "check", cmd_check, "validate a configuration: file:line: message" },
	{ "explain", cmd_explain, "decode a PROXY header, name what is wrong with it" },
};

static void print_usage(FILE *out)
{
	fprintf(out, "usage: unproxy COMMAND [...]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\nunproxy COMMAND --help says more; unproxy --version prints the version.\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].fn(argc - 1, argv + 1);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("unproxy %s\n", VERSION);
		return 0;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_usage(stdout);
		return 0;
	}
	fprintf(stderr, "unproxy: no command \"%s\"\n\n", argv[1]);
	print_usage(stderr);
	return EXIT_USAGE;
}
