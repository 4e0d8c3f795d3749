/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of subcommands. main runs them by it; `unproxy help`, the man page and the
 * completions of the shells are printed from it, so a row is all that a new one needs.
 */
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

#include <stddef.h>

struct command {
	const char *name;
	int (*fn)(int argc, char **argv);
	const char *summary; /* one line, no capital, no full stop */
	/* What --help prints, laid out so that it can be taken apart again:
	 *   usage: unproxy NAME ...      lines of the synopsis, WORDS in capitals stand for
	 *          unproxy NAME ...      values, a|b for a choice
	 *                                an empty line
	 *   Text.                        paragraphs
	 *                                an empty line
	 *     --flag VALUE   what it does, from the third column on, continued in the
	 *                    column where the text began
	 */
	const char *usage;
};

extern const struct command commands[];
extern const size_t n_commands;

/* NULL if there is no such subcommand. */
const struct command *command_find(const char *name);

#endif
