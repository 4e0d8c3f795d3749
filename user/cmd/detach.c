// SPDX-License-Identifier: BSD-2-Clause
/* unproxy detach: what the inline engine has left on this host goes. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "kern/deny.h"
#include "kern/hook.h"
#include "kern/inline.h"
#include "kern/kern.h"

const char cmd_detach_usage[] =
	"usage: unproxy detach [--force]\n"
	"\n"
	"Removes the programs of engine = inline from all interfaces of this network namespace,\n"
	"and what is pinned, by killed relays, too. Their connections end; what others put there\n"
	"stays. Needs no daemon, and refuses while one with engine = inline runs; what another\n"
	"living one has pinned stays.\n"
	"\n"
	"  --force      also what another network namespace's daemon has pinned\n"
	"  -h, --help   this text\n";

static const struct option options[] = {
	{ "force", no_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void print_done(const struct kern_inline_detached *done, unsigned swept)
{
	if (done->programs + done->qdiscs + done->pins > 0)
		(void)printf("detached: %u programs, %u qdiscs%s\n", done->programs, done->qdiscs,
			     done->pins || swept ? ", all pins" : "");
	else if (swept)
		(void)printf("detached: the pins of daemons that were killed, %u directories\n",
			     swept);
	else
		(void)printf("nothing was attached\n");
}

int cmd_detach(int argc, char **argv)
{
	struct kern_inline_detached done;
	char why[512] = "";
	unsigned swept = 0;
	bool force = false;
	int option, err;

	opterr = 0;
	optind = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h') {
			(void)fputs(cmd_detach_usage, stdout);
			return EXIT_SUCCESS;
		}
		if (option != 'f')
			return cmd_usage_error("detach", "unknown option ", argv[optind - 1]);
		force = true;
	}
	if (optind < argc)
		return cmd_usage_error("detach", "one word too many: ", argv[optind]);

	err = kern_inline_detach(NULL, force, &done, why, sizeof(why));
	if (!err)
		swept = kern_sweep(NULL) + kern_hook_sweep(NULL) + kern_deny_sweep(NULL);
	if (!err)
		err = kern_hook_remove(NULL);
	if (err) {
		(void)fprintf(stderr, "unproxy detach: %s\n", *why ? why : strerror(-err));
		return EXIT_FAILURE;
	}
	print_done(&done, swept);
	return EXIT_SUCCESS;
}
