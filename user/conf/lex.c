/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first stage of a configuration: libinih tells keys from values and comments; what
 * it leaves out is done here in the reader it pulls its lines through:
 *  - it reports no section without keys, so headings are noted here;
 *  - it takes any indented line for the continuation of a value: here a value goes on only
 *    behind a comma, so that keys may be indented;
 *  - it cuts lines at 200 bytes and reads the rest as a line of its own: here long lists
 *    are handed over in parts, and any other long line is refused.
 * Errors are the first in the file's order.
 */
#include "conf/lex.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "conf/conf.h"

#define FILE_MAX (1u << 20)

struct reader {
	const char *path;
	char *at;       /* the next byte of the file; NUL at its end */
	unsigned line;  /* of the line handed out last */
	bool goes_on;   /* what was handed out ends in a comma ... */
	unsigned comma; /* ... in this line */
	bool continued; /* what was handed out last goes on from there */
	struct lex lex;
	struct conf_error *error;
	int err;
};

static int fail(struct reader *reader, int err, const char *message)
{
	(void)snprintf(reader->error->text, sizeof(reader->error->text), "%s:%u: %s", reader->path,
		       reader->line, message);
	reader->err = err;
	return err;
}

static int add_section(struct reader *reader, const char *title, size_t len)
{
	struct lex *lex = &reader->lex;
	struct lex_section *sections;

	sections = reallocarray(lex->sections, lex->n_sections + 1, sizeof(*sections));
	if (!sections)
		return fail(reader, -ENOMEM, "out of memory");
	lex->sections = sections;
	sections += lex->n_sections;
	*sections = (struct lex_section){ .title = strndup(title, len), .line = reader->line };
	if (!sections->title)
		return fail(reader, -ENOMEM, "out of memory");
	lex->n_sections++;
	return 0;
}

/* "[title]": what is between the brackets, trimmed. */
static int read_heading(struct reader *reader, const char *text, size_t len)
{
	const char *end = memchr(text, ']', len);
	const char *from = text + 1;

	if (!end)
		return fail(reader, -EINVAL, "a section heading without its ]");
	while (from < end && isspace((unsigned char)*from))
		from++;
	while (end > from && isspace((unsigned char)end[-1]))
		end--;
	return add_section(reader, from, (size_t)(end - from));
}

/* Length of text without an inline comment (" ;") and without space at its end. */
static size_t trimmed_length(const char *text, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		if (text[i] == ';' && isspace((unsigned char)text[i - 1]))
			len = i;
	}
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	return len;
}

/* How much of a line of len bytes fits into room: all, or up to its last comma that does. */
static size_t part_length(const char *text, size_t len, size_t room)
{
	size_t part = len <= room ? len : room;

	while (len > room && part > 0 && text[part - 1] != ',')
		part--;
	return part;
}

/* The line at reader->at without its indent and comment. Returns where it begins. */
static char *take_line(struct reader *reader, size_t *ret_len)
{
	char *text = reader->at;
	size_t len = strcspn(text, "\n");
	char *next = text + len + (text[len] == '\n');

	/* A continued line may have left a part of itself behind: same line then. */
	while (len > 0 && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	if (len > 0 && (text[0] == ';' || text[0] == '#'))
		len = 0;
	*ret_len = trimmed_length(text, len);
	reader->at = next;
	return text;
}

/* "[backend b]" behind a comma that was left standing; "[::1]" is an address. */
static int refuse_heading(struct reader *reader, const char *text, size_t len)
{
	char why[256];

	if (text[0] != '[' || text[len - 1] != ']' || memchr(text, ':', len))
		return 0;
	(void)snprintf(why, sizeof(why),
		       "%.*s would be a part of what goes on behind the comma of line %u",
		       (int)(len < 64 ? len : 64), text, reader->comma);
	return fail(reader, -EINVAL, why);
}

/* What libinih would refuse by the number of its own line, or not notice. */
static int check_line(struct reader *reader, const char *text, size_t len, size_t part)
{
	if (len > 0 && part == 0)
		return fail(reader, -EINVAL, "more than 190 bytes without a comma");
	if (len == 0)
		return 0;
	if (reader->continued)
		return refuse_heading(reader, text, len);
	if (text[0] == '[')
		return read_heading(reader, text, len);
	if (!memchr(text, '=', part) && !memchr(text, ':', part))
		return fail(reader, -EINVAL, "expected: key = value");
	if (reader->lex.n_sections == 0)
		return fail(reader, -EINVAL, "a key before the first [section]");
	return 0;
}

/* An ini_reader, as fgets(3): one line, or the next part of one, into buf. */
static char *read_line(char *buf, int size, void *stream)
{
	struct reader *reader = stream;
	size_t len, part;
	char *text;

	if (reader->err < 0 || *reader->at == '\0')
		return NULL;
	reader->line += reader->at[-1] == '\n';
	text = take_line(reader, &len);
	part = part_length(text, len, (size_t)size - 10);

	reader->continued = reader->goes_on && len > 0;
	if (check_line(reader, text, len, part) < 0)
		return NULL;
	/* An empty line or a comment between the parts of a list does not end it. */
	if (len > 0) {
		reader->goes_on = text[part - 1] == ',';
		reader->comma = reader->line;
	}
	if (part < len)
		reader->at = text + part;

	(void)snprintf(buf, (size_t)size, "%s%.*s\n", reader->continued ? " " : "", (int)part,
		       text);
	return buf;
}

/* The value goes on: libinih reports the same key again. */
static int append_value(struct reader *reader, struct lex_entry *entry, const char *more)
{
	unsigned lines = reader->line - entry->last_line;
	size_t len = strlen(entry->value), gap = lines ? lines : 1;
	char *value = realloc(entry->value, len + gap + strlen(more) + 1);

	if (!value) {
		(void)fail(reader, -ENOMEM, "out of memory");
		return 0;
	}
	memset(value + len, lines ? '\n' : ' ', gap);
	memcpy(value + len + gap, more, strlen(more) + 1);
	entry->value = value;
	entry->last_line = reader->line;
	return 1;
}

/* An ini_handler: returns 0 for an error, which it has noted. */
static int handle_entry(void *user, const char *title, const char *key, const char *value)
{
	struct reader *reader = user;
	struct lex_section *section;
	struct lex_entry *entries;

	(void)title; /* cut at 49 bytes; the reader has it whole */
	if (reader->err < 0)
		return 0;
	section = &reader->lex.sections[reader->lex.n_sections - 1];
	if (reader->continued && section->n_entries > 0)
		return append_value(reader, &section->entries[section->n_entries - 1], value);

	entries = reallocarray(section->entries, section->n_entries + 1, sizeof(*entries));
	if (!entries) {
		(void)fail(reader, -ENOMEM, "out of memory");
		return 0;
	}
	section->entries = entries;
	entries += section->n_entries++;
	*entries = (struct lex_entry){ strdup(key), strdup(value), reader->line, reader->line };
	if (!entries->key || !entries->value)
		(void)fail(reader, -ENOMEM, "out of memory");
	return reader->err == 0;
}

/* The whole file behind a newline (the reader counts lines by them), NUL at its end. */
static int read_file(const char *path, char **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	text = malloc(FILE_MAX + 2);
	if (!text)
		return -ENOMEM;

	size_t len = 0;
	text[0] = '\n';
	do {
		n = read(fd, text + 1 + len, FILE_MAX - len);
		if (n < 0)
			return -errno;
		len += (size_t)n;
	} while (n > 0 && len < FILE_MAX);

	if (len == FILE_MAX)
		return -EFBIG;
	text[1 + len] = '\0';
	if (strlen(text) != 1 + len)
		return -EILSEQ; /* a NUL byte would hide what is behind it */
	*ret = TAKE_PTR(text);
	return 0;
}

int lex_file(const char *path, struct lex *ret, struct conf_error *error)
{
	struct reader reader = { .path = path, .error = error };
	_cleanup_free_ char *text = NULL;
	int r;

	r = read_file(path, &text);
	if (r < 0) {
		(void)snprintf(error->text, sizeof(error->text), "%s: %s", path,
			       r == -EILSEQ ? "holds a NUL byte: not a text file" : strerror(-r));
		return r;
	}
	reader.at = text + 1;
	if (strncmp(reader.at, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
		reader.at += 3;
		reader.at[-1] = '\n';
	}

	r = ini_parse_stream(read_line, &reader, handle_entry, &reader);
	if (r != 0 && reader.err == 0)
		(void)fail(&reader, -EINVAL, "not understood");
	if (reader.err < 0) {
		lex_free(&reader.lex);
		return reader.err;
	}
	*ret = reader.lex;
	return 0;
}

void lex_free(struct lex *lex)
{
	for (size_t i = 0; i < lex->n_sections; i++) {
		struct lex_section *section = &lex->sections[i];

		for (size_t k = 0; k < section->n_entries; k++) {
			free(section->entries[k].key);
			free(section->entries[k].value);
		}
		free(section->entries);
		free(section->title);
	}
	free(lex->sections);
	*lex = (struct lex){ 0 };
}
