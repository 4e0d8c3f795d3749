/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the shells' completions (dist/completions) ask for, one thing a line, fields parted
 * by tabs:
 *   command NAME SUMMARY
 *   flag    --NAME VALUE TEXT     VALUE is empty for a flag that takes none
 *   form    WORD WORD ...         the words of one way to call it, without flags
 *   topic   NAME                  what `unproxy help` knows beside the commands
 */
#ifndef CMD_WORDS_H
#define CMD_WORDS_H

#include <stdio.h>

#include "cmd/commands.h"

/* All commands, topics and keys of the configuration. */
void words_print_commands(FILE *out);

/* One command's flags, forms and filters. Returns 0 or -ENOMEM. */
int words_print_command(FILE *out, const struct command *command);

#endif
