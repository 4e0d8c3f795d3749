// SPDX-License-Identifier: BSD-2-Clause
#include "cmd/ask.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/socket.h"
#include "cmd/cmd.h"
#include "ctl/request.h"

/* The daemon is alive if it answers at all; a list may take long, but not between its lines. */
#define ANSWER_SECONDS 30

struct ask {
	const char *name;
	FILE *stream;
	char *line;
	size_t size;
};

static const struct option options[] = {
	{ "control", required_argument, NULL, 'C' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

int ask_flags(int argc, char **argv, const char *usage, struct ask_flags *ret)
{
	int option;

	*ret = (struct ask_flags){ .control = ASK_DEFAULT_PATH };
	opterr = 0;
	optind = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			(void)fputs(usage, stdout);
			return EXIT_SUCCESS + 1;
		case 'C':
			ret->control = optarg;
			break;
		case 'j':
			ret->json = true;
			break;
		case ':':
			return cmd_usage_error(argv[0], "no value behind ", argv[optind - 1]) + 1;
		default:
			return cmd_usage_error(argv[0], "unknown option ", argv[optind - 1]) + 1;
		}
	}
	ret->rest = optind;
	return 0;
}

static int complain(const struct ask *ask, const char *what, int err)
{
	if (ask->name)
		(void)fprintf(stderr, "unproxy %s: %s: %s\n", ask->name, what, strerror(-err));
	return err;
}

static int connect_to(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_un sa;
	int err = fd < 0 ? -errno : socket_path(path, &sa);

	if (err)
		return err;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* What it means, in place of strerror()'s word. */
static void complain_connect(const struct ask_flags *flags, const char *name, int err)
{
	const char *hint = strerror(-err);

	if (err == -ENOENT || err == -ECONNREFUSED)
		hint = "no daemon answers there: is unproxy running? (--control names another "
		       "socket)";
	else if (err == -EACCES)
		hint = "root and control_group alone may ask";
	(void)fprintf(stderr, "unproxy %s: %s: %s\n", name, flags->control, hint);
}

int ask_open(const struct ask_flags *flags, const char *name, struct ask **ret)
{
	struct ask *ask = calloc(1, sizeof(*ask));
	int fd = ask ? connect_to(flags->control) : -ENOMEM;

	if (fd < 0) {
		if (name)
			complain_connect(flags, name, fd);
		free(ask);
		return fd;
	}
	/* A daemon that dies, or a reader of ours, is met as an error. */
	(void)signal(SIGPIPE, SIG_IGN);
	ask->name = name;
	ask->stream = fdopen(fd, "r+e");
	if (!ask->stream) {
		(void)close(fd);
		free(ask);
		return -ENOMEM;
	}
	*ret = ask;
	return 0;
}

void ask_close(struct ask *ask)
{
	if (!ask)
		return;
	(void)fclose(ask->stream);
	free(ask->line);
	free(ask);
}

int ask_send(struct ask *ask, const char *cmd, json_t *args)
{
	_cleanup_free_ char *text = NULL;
	json_t *request = json_pack("{s:i, s:s}", "v", CTL_PROTOCOL, "cmd", cmd);

	if (args)
		(void)json_object_update(request, args);
	json_decref(args);
	text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!text)
		return -ENOMEM;
	(void)fseek(ask->stream, 0, SEEK_CUR); /* from reading to writing */
	if (fprintf(ask->stream, "%s\n", text) < 0 || fflush(ask->stream) != 0)
		return complain(ask, "asking", -errno);
	return 0;
}

static int read_line(struct ask *ask, json_t **ret)
{
	json_t *line;

	errno = 0;
	if (getline(&ask->line, &ask->size, ask->stream) < 0) {
		int err = errno ? -errno : -ECONNRESET;

		return complain(ask, err == -EAGAIN ? "no answer in time" : "no answer", err);
	}
	line = json_loads(ask->line, 0, NULL);
	if (!line)
		return complain(ask, "not understood", -EPROTO);
	*ret = line;
	return 0;
}

static int last_line(const struct ask *ask, json_t *line, json_t **ret)
{
	if (json_is_true(json_object_get(line, "ok"))) {
		*ret = line;
		return 0;
	}
	if (ask->name)
		(void)fprintf(stderr, "unproxy %s: %s (%s)\n", ask->name, ask_text(line, "message"),
			      ask_text(line, "error"));
	json_decref(line);
	return -EREMOTE;
}

int ask_read(struct ask *ask, ask_item_fn *fn, void *context, json_t **ret)
{
	for (;;) {
		json_t *line = NULL, *item;
		int err = read_line(ask, &line);

		if (err)
			return err;
		item = json_object_get(line, "item");
		if (!item)
			return last_line(ask, line, ret);
		err = fn ? fn(context, item) : 0;
		json_decref(line);
		if (err)
			return err;
	}
}

static int once(const struct ask_flags *flags, const char *name, const char *cmd, json_t *args,
		json_t **ret)
{
	struct ask *ask = NULL;
	json_t *line = NULL;
	int err = ask_open(flags, name, &ask);

	if (err) {
		json_decref(args);
		return err;
	}
	err = ask_send(ask, cmd, args);
	if (!err)
		err = ask_read(ask, NULL, NULL, &line);
	ask_close(ask);
	if (err)
		return err;
	*ret = json_incref(json_object_get(line, "data"));
	json_decref(line);
	return 0;
}

int ask_once(const struct ask_flags *flags, const char *cmd, json_t *args, json_t **ret)
{
	return ask_exit_code(once(flags, cmd, cmd, args, ret));
}

int ask_quietly(const char *control, const char *cmd, json_t **ret)
{
	const struct ask_flags flags = { .control = control };

	return once(&flags, NULL, cmd, NULL, ret);
}

int ask_exit_code(int err)
{
	if (!err)
		return EXIT_SUCCESS;
	return err == -EREMOTE || err == -EIO ? EXIT_FAILURE : EXIT_USAGE;
}

int ask_print_item(void *context, json_t *item)
{
	(void)context;
	(void)json_dumpf(item, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	return printf("\n") < 0 ? -EIO : 0;
}

void ask_print(const json_t *data)
{
	(void)json_dumpf(data, stdout, JSON_INDENT(2));
	(void)printf("\n");
}

int ask_order(const struct ask_flags *flags, const char *command, json_t *args)
{
	json_t *data = NULL;
	int code = ask_once(flags, command, args, &data);

	if (code == EXIT_SUCCESS && flags->json)
		(void)printf("{}\n");
	json_decref(data);
	return code;
}

int ask_killed(const char *name, const json_t *data)
{
	long long out_of_reach = ask_number(data, "out_of_reach");
	const char *failed = ask_text(data, "failed");

	if (out_of_reach)
		(void)fprintf(stderr,
			      "unproxy %s: %lld connections have no socket in the daemon's network "
			      "namespace\n",
			      name, out_of_reach);
	if (failed[0])
		(void)fprintf(stderr, "unproxy %s: %s\n", name, failed);
	return out_of_reach || failed[0] ? -EREMOTE : 0;
}

json_t *ask_filter(const char *name, int n, char *const *words)
{
	json_t *args = json_object();

	for (int i = 0; i < n; i++) {
		const char *equals = strchr(words[i], '=');
		_cleanup_free_ char *key = NULL;

		if (equals)
			key = strndup(words[i], (size_t)(equals - words[i]));
		else
			key = strdup("conn");
		if (key && json_object_get(args, key)) {
			(void)cmd_usage_error(name, "given twice: ", key);
			json_decref(args);
			return NULL;
		}
		if (!key ||
		    json_object_set_new_nocheck(args, key,
						json_string(equals ? equals + 1 : words[i])) != 0) {
			(void)fprintf(stderr, "unproxy %s: not understood: %s\n", name, words[i]);
			json_decref(args);
			return NULL;
		}
	}
	return args;
}

const json_t *ask_get(const json_t *object, const char *path)
{
	while (object && *path) {
		size_t len = strcspn(path, ".");
		char name[64];

		(void)snprintf(name, sizeof(name), "%.*s", (int)len, path);
		object = json_object_get(object, name);
		path += len + (path[len] == '.');
	}
	return object;
}

const char *ask_text(const json_t *object, const char *path)
{
	const char *text = json_string_value(ask_get(object, path));

	return text ? text : "";
}

long long ask_number(const json_t *object, const char *path)
{
	return (long long)json_integer_value(ask_get(object, path));
}
