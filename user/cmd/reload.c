// SPDX-License-Identifier: BSD-2-Clause
/* unproxy reload: have the daemon go by its file as it is now. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/ask.h"
#include "cmd/cmd.h"

const char cmd_reload_usage[] =
	"usage: unproxy reload [--json]\n"
	"\n"
	"Has the running daemon read its configuration again and go by it: whole, or\n"
	"not at all. Listeners that stay never close, and connections go on under the\n"
	"rules they began with. Exit code 0: done; 1: refused, and nothing has changed;\n"
	"2: no daemon answers.\n\n" ASK_HELP;

static void print_list(const char *title, const json_t *list)
{
	const json_t *text;
	size_t i;

	json_array_foreach (list, i, text)
		(void)printf("%s%s", i ? ", " : title, json_string_value(text));
	if (json_array_size(list))
		(void)printf("\n");
}

static void print(const json_t *report)
{
	(void)printf("reloaded: generation %lld\n", ask_number(report, "generation"));
	print_list("listeners added: ", ask_get(report, "added"));
	print_list("listeners removed: ", ask_get(report, "removed"));
	print_list("wait for a restart: ", ask_get(report, "restart"));
	print_list("no longer so, though said at run time: ", ask_get(report, "overridden"));
}

int cmd_reload(int argc, char **argv)
{
	struct ask_flags flags;
	json_t *report = NULL;
	int code = ask_flags(argc, argv, cmd_reload_usage, &flags);

	if (code)
		return code - 1;
	if (flags.rest < argc)
		return cmd_usage_error("reload", "one word too many: ", argv[flags.rest]);
	code = ask_once(&flags, "reload", NULL, &report);
	if (code)
		return code;
	if (flags.json) {
		ask_print(report);
	} else {
		print(report);
	}
	json_decref(report);
	return EXIT_SUCCESS;
}
