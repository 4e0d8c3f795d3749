// SPDX-License-Identifier: BSD-2-Clause
/* unproxy explain: decode a PROXY header, or name what is wrong with it and where. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/explain.h"

/* The longest header as hex with separators fits several times. */
#define INPUT_MAX (1U << 20)

const char cmd_explain_usage[] =
	"usage: unproxy explain [--json] [--v1-ipv4-in-tcp6] [HEX... | -]\n"
	"\n"
	"Decodes the first bytes of a connection: what a PROXY header says, or why and\n"
	"at which byte it is refused. Exits with 0 for a complete header, 1 for one that is\n"
	"incomplete or invalid.\n"
	"\n"
	"  HEX                 blanks, colons, commas, 0x and \\x between digits are fine; what\n"
	"                      is not hex is taken as text with \\r \\n \\xNN:\n"
	"                      unproxy explain 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\\r\\n'\n"
	"  -                   or nothing: read standard input, hex or the bytes themselves\n"
	"  --json              one JSON object\n"
	"  --v1-ipv4-in-tcp6   allow IPv4 addresses behind TCP6, as the option of a listener\n"
	"  -h, --help          this text\n";

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "v1-ipv4-in-tcp6", no_argument, NULL, '4' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* All of a file. Returns 0, -errno, or -EFBIG beyond INPUT_MAX; *ret is the caller's. */
static int read_all(FILE *in, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *text = malloc(INPUT_MAX + 1);
	size_t len;

	if (!text)
		return -ENOMEM;
	len = fread(text, 1, INPUT_MAX + 1, in);
	if (ferror(in))
		return -EIO;
	if (len > INPUT_MAX)
		return -EFBIG;
	*ret = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

/* The arguments as one text: hex is often pasted with blanks. *ret is the caller's. */
static int join(int argc, char **argv, char **ret, size_t *ret_len)
{
	size_t size = 1;
	char *text, *at;

	for (int i = 0; i < argc; i++)
		size += strlen(argv[i]) + 1;
	text = malloc(size);
	if (!text)
		return -ENOMEM;
	at = text;
	for (int i = 0; i < argc; i++) {
		if (i)
			*at++ = ' ';
		at = stpcpy(at, argv[i]);
	}
	*ret = text;
	*ret_len = (size_t)(at - text);
	return 0;
}

static int explain_text(const char *text, size_t len, bool escapes,
			const struct up_header_limits *limits, bool json)
{
	_cleanup_free_ uint8_t *bytes = malloc(len + 1);
	struct explain explain = { .bytes = bytes };
	long n;

	if (!bytes)
		return -ENOMEM;
	n = explain_decode(text, len, escapes, bytes);
	if (n < 0)
		return (int)n;
	explain.len = (uint32_t)n;
	explain.status = up_header_parse(bytes, explain.len, limits, &explain.header);
	if (json && explain_print_json(&explain, stdout) < 0)
		return -ENOMEM;
	if (!json)
		explain_print(&explain, stdout);
	if (fflush(stdout) != 0)
		return -EIO;
	return explain.status == UP_HEADER_COMPLETE ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int complain(int error)
{
	const char *why = strerror(-error);

	if (error == -EINVAL)
		why = "hex needs an even number of digits";
	else if (error == -EFBIG)
		why = "more than 1 MiB of input";
	(void)fprintf(stderr, "unproxy explain: %s\n", why);
	return error == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
}

int cmd_explain(int argc, char **argv)
{
	struct up_header_limits limits = { .max_len = UP_HEADER_MAX };
	_cleanup_free_ char *text = NULL;
	bool json = false, from_stdin;
	size_t len = 0;
	int option, r;

	optind = 0; /* glibc: start over, whoever used getopt before */
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case '4':
			limits.flags |= UP_HEADER_V1_IPV4_IN_TCP6;
			break;
		case 'h':
			(void)fputs(cmd_explain_usage, stdout);
			return EXIT_SUCCESS;
		default:
			(void)fputs(cmd_explain_usage, stderr);
			return EXIT_USAGE;
		}
	}
	from_stdin = optind == argc || (optind + 1 == argc && !strcmp(argv[optind], "-"));
	if (from_stdin)
		r = read_all(stdin, &text, &len);
	else
		r = join(argc - optind, argv + optind, &text, &len);
	if (r == 0)
		r = explain_text(text, len, !from_stdin, &limits, json);
	return r < 0 ? complain(r) : r;
}
