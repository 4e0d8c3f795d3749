// SPDX-License-Identifier: BSD-2-Clause
/* unproxy help: what the tables of commands, topics and keys have to say. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/markup.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/man.h"
#include "cmd/topics.h"
#include "cmd/words.h"
#include "conf/keys.h"
#include "conf/value.h"

#define CONF_TOPIC "conf"

const char cmd_help_usage[] =
	"usage: unproxy help [COMMAND | TOPIC | KEY]\n"
	"       unproxy help --man 8|5\n"
	"       unproxy help --words [COMMAND]\n"
	"\n"
	"Says more about a command (what COMMAND --help prints), a topic, or a key of the\n"
	"configuration. Without a word: all commands and topics.\n"
	"\n"
	"  --man 8|5    print unproxy(8) or unproxy.conf(5) for man(1)\n"
	"  --words      what the completions of the shells ask for: commands, or flags and words\n"
	"  -h, --help   this text\n";

static const struct option options[] = {
	{ "man", required_argument, NULL, 'm' },
	{ "words", no_argument, NULL, 'w' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

void cmd_print_overview(FILE *out)
{
	(void)fprintf(out, "usage: unproxy COMMAND [...]\n\n");
	for (size_t i = 0; i < n_commands; i++)
		(void)fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
	(void)fprintf(out,
		      "\nunproxy help COMMAND says more; unproxy --version prints the version.\n"
		      "unproxy help TOPIC, of:");
	for (size_t i = 0; i < n_topics; i++)
		(void)fprintf(out, " %s", topics[i].name);
	(void)fprintf(out, " " CONF_TOPIC "; or KEY, of the configuration.\n");
}

/* Keys of this name, in whatever sections. Returns whether there are any. */
static bool help_key(const char *name)
{
	bool found = false;

	for (size_t i = 0; i < n_keys; i++) {
		if (strcmp(keys[i].name, name) != 0)
			continue;
		(void)printf("%s[%s]", found ? "\n" : "", key_sections[keys[i].section]);
		key_print_help(stdout, MARKUP_TEXT, &keys[i]);
		found = true;
	}
	return found;
}

static bool help_topic(const char *name)
{
	for (size_t i = 0; i < n_topics; i++) {
		if (strcmp(topics[i].name, name) == 0) {
			markup_blocks(stdout, MARKUP_TEXT, topics[i].text);
			return true;
		}
	}
	if (strcmp(name, CONF_TOPIC) != 0)
		return false;
	key_print_page(stdout, MARKUP_TEXT);
	return true;
}

static bool help_word(const char *word)
{
	const struct command *command = command_find(word);

	if (command)
		(void)fputs(command->usage, stdout);
	return command || help_topic(word) || help_key(word);
}

static int print_man(const char *section)
{
	if (strcmp(section, "5") == 0) {
		man_print_conf(stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(section, "8") == 0)
		return man_print_command(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	(void)fprintf(stderr, "unproxy help: there is --man 8, unproxy(8), and --man 5, "
			      "unproxy.conf(5)\n");
	return EXIT_USAGE;
}

static int nothing_about(const char *word)
{
	(void)fprintf(stderr, "unproxy help: nothing about \"%s\"\n\n", word);
	cmd_print_overview(stderr);
	return EXIT_USAGE;
}

/* Without a command: all of them. */
static int print_words(const char *name)
{
	const struct command *command = name ? command_find(name) : NULL;

	if (!name)
		words_print_commands(stdout);
	else if (!command)
		return nothing_about(name);
	else if (words_print_command(stdout, command))
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}

int cmd_help(int argc, char **argv)
{
	const char *man = NULL;
	bool words = false;
	int option;

	opterr = 0;
	optind = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h') {
			(void)fputs(cmd_help_usage, stdout);
			return EXIT_SUCCESS;
		}
		if (option == 'm')
			man = optarg;
		else if (option == 'w')
			words = true;
		else
			return nothing_about(argv[optind - 1]);
	}
	if (argc - optind > (man ? 0 : 1))
		return nothing_about(argv[argc - 1]);
	if (man)
		return print_man(man);
	if (words)
		return print_words(argv[optind]);
	if (optind == argc)
		cmd_print_overview(stdout);
	else if (!help_word(argv[optind]))
		return nothing_about(argv[optind]);
	return EXIT_SUCCESS;
}
