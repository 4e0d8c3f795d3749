// SPDX-License-Identifier: BSD-2-Clause
/* unproxy backend: a server comes, goes, drains or weighs more, at run time. */
#include <stdlib.h>
#include <string.h>

#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "conf/value.h"

const char cmd_backend_usage[] =
	"usage: unproxy backend NAME server ADDR:PORT add [weight N]\n"
	"       unproxy backend NAME server ADDR:PORT remove|drain|ready\n"
	"       unproxy backend NAME server ADDR:PORT weight N\n"
	"\n"
	"Changes a server of the running daemon, until the next reload. A server that\n"
	"drains takes no new connections; one that is removed is forgotten with its\n"
	"last one. unproxy status lists what the file does not say.\n\n" ASK_HELP;

/* argv: NAME server ADDR ACTION [[weight] N]; what is no weight the daemon refuses. */
static int read_words(int n, char **words, json_t *args)
{
	const char *action = n >= 4 ? words[3] : "";
	bool weighs = strcmp(action, "weight") == 0;
	bool adds = strcmp(action, "add") == 0 && n == 6 && strcmp(words[4], "weight") == 0;
	uint64_t weight;

	if (n < 4 || strcmp(words[1], "server") != 0)
		return cmd_usage_error("backend", "expected NAME server ADDR:PORT and what to do",
				       "");
	if (n != (weighs ? 5 : adds ? 6 : 4))
		return cmd_usage_error("backend", "too few or too many words behind ", action);
	(void)json_object_set_new(args, "backend", json_string(words[0]));
	(void)json_object_set_new(args, "server", json_string(words[2]));
	(void)json_object_set_new(args, "action", json_string(action));
	if (!weighs && !adds)
		return EXIT_SUCCESS;
	if (value_number(words[n - 1], &weight) < 0)
		return cmd_usage_error("backend", "no number: ", words[n - 1]);
	(void)json_object_set_new(args, "weight", json_integer((json_int_t)weight));
	return EXIT_SUCCESS;
}

int cmd_backend(int argc, char **argv)
{
	struct ask_flags flags;
	json_t *args;
	int code = ask_flags(argc, argv, cmd_backend_usage, &flags);

	if (code)
		return code - 1;
	args = json_object();
	code = read_words(argc - flags.rest, argv + flags.rest, args);
	if (code) {
		json_decref(args);
		return code;
	}
	return ask_order(&flags, "backend", args);
}
