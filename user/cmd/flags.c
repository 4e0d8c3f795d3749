/* SPDX-License-Identifier: BSD-2-Clause */
/* The flags that `run` and `check` share: argv becomes a struct conf. */
#include "cmd/flags.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "help", no_argument, NULL, 'h' },
	{ "listen", required_argument, NULL, 'l' },
	{ "backend", required_argument, NULL, 'b' },
	{ "trust", required_argument, NULL, 't' },
	{ "header", required_argument, NULL, 'H' },
	{ "header-timeout", required_argument, NULL, 'T' },
	{ "header-max", required_argument, NULL, 'M' },
	{ "kernel-path", required_argument, NULL, 'k' },
	{ "client-log", required_argument, NULL, 'L' },
	{ "workers", required_argument, NULL, 'w' },
	{ "engine", required_argument, NULL, 'e' },
	{ "interfaces", required_argument, NULL, 'i' },
	{ "control", required_argument, NULL, 'C' },
	{ 0 },
};

/* Where the value of an option goes; NULL for one that has none. */
static const char **flag_field(struct conf_flags *flags, int option)
{
	const struct {
		int option;
		const char **field;
	} fields[] = {
		{ 'l', &flags->listen },         { 'b', &flags->backend },
		{ 't', &flags->trust },          { 'H', &flags->header },
		{ 'T', &flags->header_timeout }, { 'M', &flags->header_max },
		{ 'k', &flags->kernel_path },    { 'L', &flags->client_log },
		{ 'w', &flags->workers },        { 'e', &flags->engine },
		{ 'i', &flags->interfaces },     { 'C', &flags->control },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (fields[i].option == option)
			return fields[i].field;
	}
	return NULL;
}

static const char *option_name(int option)
{
	const struct option *at = options;

	while (at->name && at->val != option)
		at++;
	return at->name;
}

/* Returns 0, 'h' for --help, or -1 after a message. Counts the flags that are not -c. */
static int read_argv(int argc, char **argv, const char **ret_file, struct conf_flags *ret)
{
	int option, n_flags = 0;

	opterr = 0; /* the messages are ours: getopt's would name the subcommand alone */
	optind = 0;
	while ((option = getopt_long(argc, argv, ":c:h", options, NULL)) != -1) {
		const char **field = option == 'c' ? ret_file : flag_field(ret, option);

		if (option == 'h')
			return 'h';
		if (option == ':')
			return -cmd_usage_error(argv[0], "no value behind ", argv[optind - 1]);
		if (!field)
			return -cmd_usage_error(argv[0], "unknown option ", argv[optind - 1]);
		if (*field)
			return -cmd_usage_error(argv[0], "given twice: --", option_name(option));
		*field = optarg;
		n_flags += option != 'c';
	}
	if (optind < argc)
		return -cmd_usage_error(argv[0], "one word too many: ", argv[optind]);
	if (*ret_file && n_flags > 0)
		return -cmd_usage_error(argv[0],
					"-c FILE stands alone: other flags go into the file", "");
	if (ret->control && n_flags == 1)
		return -cmd_usage_error(argv[0],
					"--control alone is no configuration: -c FILE, or --listen "
					"and --trust beside it",
					"");
	if (!*ret_file && n_flags == 0)
		*ret_file = FLAGS_DEFAULT_FILE;
	return 0;
}

bool flags_take(int *argc, char **argv, const char *word)
{
	int n = 0;

	for (int i = 0; i < *argc; i++) {
		if (i == 0 || strcmp(argv[i], word) != 0)
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	if (n == *argc)
		return false;
	*argc = n;
	return true;
}

const char *flags_take_value(int *argc, char **argv, const char *word)
{
	size_t len = strlen(word);

	for (int i = 1; i < *argc; i++) {
		bool joined = strncmp(argv[i], word, len) == 0 && argv[i][len] == '=';
		const char *value = joined ? argv[i] + len + 1 : argv[i + 1];
		int n = joined ? 1 : 2;

		if (!value || (!joined && strcmp(argv[i], word) != 0))
			continue;
		*argc -= n;
		memmove(&argv[i], &argv[i + n], (size_t)(*argc - i + 1) * sizeof(*argv));
		return value;
	}
	return NULL;
}

int flags_try_conf(int argc, char **argv, const char *usage, struct conf **ret,
		   struct conf_error *error)
{
	struct conf_flags flags = { 0 };
	const char *file = NULL;
	int r;

	error->text[0] = '\0';

	r = read_argv(argc, argv, &file, &flags);
	if (r == 'h') {
		(void)fputs(usage, stdout);
		*ret = NULL;
		return 0;
	}
	if (r < 0)
		return EXIT_USAGE;

	if (file)
		r = conf_load(file, ret, error);
	else
		r = conf_from_flags(&flags, ret, error);
	return r == 0 ? 0 : EXIT_FAILURE;
}

int flags_to_conf(int argc, char **argv, const char *usage, struct conf **ret)
{
	struct conf_error error;
	int code = flags_try_conf(argc, argv, usage, ret, &error);

	if (error.text[0])
		(void)fprintf(stderr, "%s\n", error.text);
	return code;
}
