/* SPDX-License-Identifier: BSD-2-Clause */
/* The subcommands. Each returns the process's exit code: 0 well, 1 failed, 2 usage; its usage
 * is what --help prints. Their table is commands.c. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <stdio.h>

#define EXIT_USAGE 2

int cmd_run(int argc, char **argv); /* argv[0] is the subcommand's name */
int cmd_check(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_conns(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_deny(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_backend(int argc, char **argv);
int cmd_listener(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_ready(int argc, char **argv);
int cmd_store(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_help(int argc, char **argv);

extern const char cmd_run_usage[];
extern const char cmd_conns_usage[];
extern const char cmd_top_usage[];
extern const char cmd_kill_usage[];
extern const char cmd_status_usage[];
extern const char cmd_check_usage[];
extern const char cmd_doctor_usage[];
extern const char cmd_explain_usage[];
extern const char cmd_deny_usage[];
extern const char cmd_reload_usage[];
extern const char cmd_backend_usage[];
extern const char cmd_listener_usage[];
extern const char cmd_drain_usage[];
extern const char cmd_ready_usage[];
extern const char cmd_store_usage[];
extern const char cmd_detach_usage[];
extern const char cmd_help_usage[];

/* Something is wrong with the words: "unproxy COMMAND: MESSAGE WORD" and where to read, on stderr. Returns
 * EXIT_USAGE. */
int cmd_usage_error(const char *command, const char *message, const char *word);

/* All subcommands, a line each. */
void cmd_print_overview(FILE *out);

/* The version in the first line, what it is made of in the others. */
void cmd_print_version(FILE *out);

#endif
