// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/say.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"

int say_error(const char *command, const char *message, const char *word)
{
	(void)fprintf(stderr, "unproxy %s: %s%s (see unproxy %s --help)\n", command, message, word,
		      command);
	return EXIT_USAGE;
}

int say_ask(const struct ask_flags *flags, const char *command, json_t *args)
{
	json_t *data = NULL;
	int code = ask_once(flags, command, args, &data);

	if (code == EXIT_SUCCESS && flags->json)
		(void)printf("{}\n");
	json_decref(data);
	return code;
}
