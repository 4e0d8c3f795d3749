/* SPDX-License-Identifier: BSD-2-Clause */
/* The subcommands. Each returns the process's exit code: 0 well, 1 failed, 2 usage. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#define EXIT_USAGE 2

int cmd_run(int argc, char **argv); /* argv[0] is the subcommand's name */
int cmd_check(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_detach(int argc, char **argv);

#endif
