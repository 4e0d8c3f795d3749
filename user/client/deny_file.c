/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/deny_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/why.h"
#include "client/deny_set.h"
#include "conf/value.h"

#define WORD_MAX 64
#define DAY_MS UINT64_C(86400000)
#define FOR_MAX_MS (100 * 366 * DAY_MS)

static const char space[] = " \t\r\n";

/* The next word; "" at the end. False: it is longer than any that is known. */
static bool next_word(const char **text, char word[WORD_MAX])
{
	const char *from = *text + strspn(*text, space);
	size_t len = strcspn(from, space);

	*text = from + len;
	(void)snprintf(word, WORD_MAX, "%.*s", (int)len, from);
	return len < WORD_MAX;
}

/* As value_duration(), and days. */
static int parse_duration(const char *word, uint64_t *ret_ms)
{
	char number[WORD_MAX];
	size_t len = strlen(word);
	uint64_t days, ms;

	(void)snprintf(number, sizeof(number), "%s", word);
	if (len > 1 && number[len - 1] == 'd') {
		number[len - 1] = '\0';
		if (value_number(number, &days) < 0 || days > FOR_MAX_MS / DAY_MS)
			return -EINVAL;
		ms = days * DAY_MS;
	} else if (value_duration(word, &ms) < 0) {
		return -EINVAL;
	}
	if (ms == 0 || ms > FOR_MAX_MS)
		return -EINVAL;
	*ret_ms = ms;
	return 0;
}

static int parse_time(const char *word, uint64_t *ret_us)
{
	static const char *const forms[] = { "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d" };

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct tm tm = { 0 }, same;
		const char *end = strptime(word, forms[i], &tm);
		time_t at;

		if (!end || *end)
			continue;
		same = tm;
		at = timegm(&same);
		if (at <= 0 || same.tm_mday != tm.tm_mday || same.tm_sec != tm.tm_sec)
			return -EINVAL; /* there is no such day */
		*ret_us = (uint64_t)at * 1000000;
		return 0;
	}
	return -EINVAL;
}

static int refuse(char *why, size_t size, const char *word, const char *message)
{
	(void)snprintf(why, size, "\"%s\"%s%s", word, *message ? " " : "", message);
	return -EINVAL;
}

/* "for 1h" or "until ...", whose first word is there; none: for ever. */
static int parse_end(const char *word, const char **text, uint64_t from_us, struct deny_rule *rule,
		     char *why, size_t why_size)
{
	char value[WORD_MAX];
	uint64_t ms;

	if (!*word)
		return 0;
	if (strcmp(word, "for") != 0 && strcmp(word, "until") != 0)
		return refuse(why, why_size, word, "is none of allow, for, until");
	if (!next_word(text, value))
		return refuse(why, why_size, value, "is too long");
	if (strcmp(word, "until") == 0)
		return parse_time(value, &rule->until_us) < 0
			       ? refuse(why, why_size, value,
					"is no time: 2026-12-24T12:00:00Z, or 2026-12-24 (UTC)")
			       : 0;
	if (parse_duration(value, &ms) < 0)
		return refuse(why, why_size, value, "is no time span: 90s, 10m, 1h, 7d");
	rule->until_us = from_us + ms * 1000;
	return 0;
}

int deny_rule_parse(const char *text, uint64_t from_us, struct deny_rule *ret, char *why,
		    size_t why_size)
{
	struct deny_rule rule = { .verdict = UP_DENY_REFUSE };
	char word[WORD_MAX];
	const char *bad;
	int err;

	bad = next_word(&text, word) ? cidr_parse(word, &rule.cidr) : "is no address or CIDR";
	if (bad)
		return refuse(why, why_size, word, bad);
	if (!next_word(&text, word))
		return refuse(why, why_size, word, "is too long");
	if (strcmp(word, "allow") == 0) {
		rule.verdict = UP_DENY_ALLOW;
		(void)next_word(&text, word);
	}
	err = parse_end(word, &text, from_us, &rule, why, why_size);
	if (err)
		return err;
	if (!next_word(&text, word) || *word)
		return refuse(why, why_size, word, "is one word too many");
	*ret = rule;
	return 0;
}

void deny_rules_free(struct deny_rules *rules)
{
	free(rules->at);
	*rules = (struct deny_rules){ 0 };
}

static int add(struct deny_rules *rules, size_t *room, const struct deny_rule *rule)
{
	if (rules->n == *room) {
		size_t more = *room ? *room * 2 : 64;
		struct deny_rule *at = reallocarray(rules->at, more, sizeof(*at));

		if (!at)
			return -ENOMEM;
		rules->at = at;
		*room = more;
	}
	rules->at[rules->n++] = *rule;
	return 0;
}

struct reader {
	FILE *file;
	uint64_t from_us; /* what "for" counts from */
	uint32_t max;
	unsigned line;
	char why[256];
};

static int read_line(struct reader *reader, const char *line, struct deny_rules *rules,
		     size_t *room)
{
	struct deny_rule rule = { 0 };
	int err = deny_rule_parse(line, reader->from_us, &rule, reader->why, sizeof(reader->why));

	if (err)
		return err;
	if (rules->n >= reader->max) {
		(void)snprintf(reader->why, sizeof(reader->why),
			       "more than deny_entries = %" PRIu32, reader->max);
		return -ENOSPC;
	}
	rule.line = reader->line;
	return add(rules, room, &rule);
}

static int read_lines(struct reader *reader, struct deny_rules *rules)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0, room = 0;
	ssize_t len;
	int err = 0;

	while (!err && (len = getline(&line, &size, reader->file)) >= 0) {
		reader->line++;
		if (memchr(line, '\0', (size_t)len)) {
			(void)snprintf(reader->why, sizeof(reader->why),
				       "a NUL byte: not a text file");
			return -EINVAL;
		}
		line[strcspn(line, "#;")] = '\0';
		if (line[strspn(line, space)])
			err = read_line(reader, line, rules, &room);
	}
	return err || !ferror(reader->file) ? err : -EIO;
}

static void cleanup_set(struct deny_set **set)
{
	deny_set_free(*set);
}

/* Two lines that say the opposite of one network: neither is what was meant. */
static int find_opposites(struct reader *reader, const struct deny_rules *rules)
{
	_cleanup_(cleanup_set) struct deny_set *set = NULL;
	int err = deny_set_new(UINT32_MAX, &set);

	for (size_t i = 0; !err && i < rules->n; i++) {
		const struct deny_rule *rule = &rules->at[i];
		struct deny_entry *entry;

		err = deny_set_add(set, &rule->cidr, &entry);
		reader->line = rule->line;
		if (!err && entry->said.file && entry->said.file != rule->verdict) {
			(void)snprintf(reader->why, sizeof(reader->why),
				       "an earlier line says the opposite");
			return -EEXIST;
		}
		if (!err)
			entry->said.file = rule->verdict;
	}
	return err;
}

static void cleanup_file(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

int deny_file_read(const char *path, uint32_t max, struct deny_rules *ret, char *why,
		   size_t why_size)
{
	_cleanup_(deny_rules_free) struct deny_rules rules = { 0 };
	_cleanup_(cleanup_file) FILE *file = fopen(path, "re");
	struct reader reader = { .file = file, .max = max };
	struct stat st = { 0 };
	int err;

	err = !file || fstat(fileno(file), &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? -EISDIR : 0;
	if (err)
		return why_error(why, why_size, path, err);
	reader.from_us = (uint64_t)st.st_mtim.tv_sec * 1000000;
	err = read_lines(&reader, &rules);
	if (!err)
		err = find_opposites(&reader, &rules);
	if (err) {
		(void)snprintf(why, why_size, "%s:%u: %s", path, reader.line,
			       *reader.why ? reader.why : strerror(-err));
		return err;
	}
	*ret = rules;
	rules = (struct deny_rules){ 0 };
	return 0;
}
