/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking the running daemon over its control socket: what every command that does so shares. */
#ifndef CMD_ASK_H
#define CMD_ASK_H

#include <jansson.h>
#include <stdbool.h>

#define ASK_DEFAULT_PATH "/run/unproxy/control.sock"

/* For the usage text of a command that asks. */
#define ASK_HELP         \
	ASK_CONTROL_HELP \
	"  --json           as JSON, for programs\n" ASK_HELP_HELP
#define ASK_CONTROL_HELP "  --control PATH   the daemon's control socket (" ASK_DEFAULT_PATH ")\n"
#define ASK_HELP_HELP "  -h, --help       this text\n"

struct ask_flags {
	const char *control; /* the path */
	bool json;
	int rest; /* argv[rest] is the first word that is no option */
};

/* Read argv: --control, --json, --help; every command takes these alone. Returns 0, or the exit
 * code + 1: `--help` has been answered (1), or what is wrong is on stderr. */
int ask_flags(int argc, char **argv, const char *usage, struct ask_flags *ret);

struct ask; /* a connection to the daemon */

/* name: of the command, for messages; NULL: without. 0, or -errno and the message is on stderr. */
int ask_open(const struct ask_flags *flags, const char *name, struct ask **ret);
void ask_close(struct ask *ask);

/* Send a request; args is taken, NULL: none. What it is for is put in by us. 0 or -errno. */
int ask_send(struct ask *ask, const char *cmd, json_t *args);

/* One item of a list; borrowed. Not 0: read no further. */
typedef int ask_item_fn(void *context, json_t *item);

/* Read the answer; fn may be NULL where no list is expected. Returns 0 with *ret, its last line, whose
 * owner the caller is; or -errno with the message on stderr: -EREMOTE: the daemon said no. */
int ask_read(struct ask *ask, ask_item_fn *fn, void *context, json_t **ret);

/* All in one, for an answer without a list: *ret is its data, the caller's. Returns the exit
 * code, EXIT_SUCCESS with *ret; else EXIT_FAILURE: the daemon said no; EXIT_USAGE: it does
 * not answer. */
int ask_once(const struct ask_flags *flags, const char *cmd, json_t *args, json_t **ret);

/* The same for who has words of its own: nothing is said. 0 or -errno: -ENOENT, -ECONNREFUSED nobody
 * is there; -EACCES; -EAGAIN no answer in time; -EREMOTE the daemon said no. */
int ask_quietly(const char *control, const char *cmd, json_t **ret);

/* The exit code for what ask_open(), ask_send() and ask_read() return: EXIT_SUCCESS; EXIT_FAILURE: the
 * daemon said no, or an item could not be printed (-EIO); EXIT_USAGE: it does not answer. */
int ask_exit_code(int err);

/* The same for what is merely to be done; args is taken. Says nothing, but {} with --json. */
int ask_order(const struct ask_flags *flags, const char *command, json_t *args);

/* What an answer says of connections that should have been ended: 0, all were; or -EREMOTE, and a
 * message on stderr. */
int ask_killed(const char *name, const json_t *data);

/* As JSON: an item of a list, a line each (an ask_item_fn); one answer. */
int ask_print_item(void *context, json_t *item);
void ask_print(const json_t *data);

/* The words of a filter, NAME=VALUE or the id of a connection, as the arguments of a request. NULL, and
 * a message on stderr: a word that is no text. */
json_t *ask_filter(const char *name, int n, char *const *words);

/* The text of a member, or "" ; its number, or 0. For members of objects within: "a.b". */
const char *ask_text(const json_t *object, const char *path);
long long ask_number(const json_t *object, const char *path);
const json_t *ask_get(const json_t *object, const char *path);

#endif
