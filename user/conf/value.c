/* SPDX-License-Identifier: BSD-2-Clause */
/* Words of a configuration as numbers. Bounds are the key table's business (conf/keys). */
#include "conf/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

#define NEAREST_WORD_MAX 64

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit durations[] = {
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
};

static const struct unit sizes[] = {
	{ "g", UINT64_C(1) << 30 },
	{ "m", UINT64_C(1) << 20 },
	{ "k", UINT64_C(1) << 10 },
	{ "", 1 },
};

/* Digits at the head of text. Returns what follows them, NULL if there are none or too many. */
static const char *read_digits(const char *text, uint64_t *ret)
{
	uint64_t value = 0;
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 18)
		return NULL;
	for (size_t i = 0; i < n; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	*ret = value;
	return text + n;
}

static int with_unit(const char *text, const struct unit *units, size_t n, uint64_t *ret)
{
	uint64_t value, product;
	const char *rest = read_digits(text, &value);

	for (size_t i = 0; rest && i < n; i++) {
		if (strcasecmp(rest, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(value, units[i].factor, &product))
			return -EINVAL;
		*ret = product;
		return 0;
	}
	return -EINVAL;
}

static void format_unit(uint64_t value, const struct unit *units, char *buf, size_t size)
{
	while (units->factor > 1 && (value % units->factor != 0 || value == 0))
		units++;
	(void)snprintf(buf, size, "%" PRIu64 "%s", value / units->factor, units->name);
}

int value_number(const char *text, uint64_t *ret)
{
	uint64_t value;
	const char *rest = read_digits(text, &value);

	if (!rest || *rest)
		return -EINVAL;
	*ret = value;
	return 0;
}

int value_size(const char *text, uint64_t *ret)
{
	return with_unit(text, sizes, ARRAY_SIZE(sizes), ret);
}

int value_duration(const char *text, uint64_t *ret)
{
	if (strcmp(text, "0") == 0 || strcmp(text, "off") == 0) {
		*ret = 0;
		return 0;
	}
	return with_unit(text, durations, ARRAY_SIZE(durations), ret);
}

int value_bool(const char *text, bool *ret)
{
	static const char *const words[] = { "no", "off", "false", "0", "yes", "on", "true", "1" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		*ret = i >= ARRAY_SIZE(words) / 2;
		return 0;
	}
	return -EINVAL;
}

void value_format_duration(uint64_t ms, char *buf, size_t size)
{
	if (ms == 0)
		(void)snprintf(buf, size, "0");
	else
		format_unit(ms, durations, buf, size);
}

void value_format_size(uint64_t bytes, char *buf, size_t size)
{
	format_unit(bytes, sizes, buf, size);
}

/* Levenshtein's distance, row by row. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NEAREST_WORD_MAX + 1], n = strlen(b);

	for (size_t k = 0; k <= n; k++)
		row[k] = k;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t k = 1; k <= n; k++) {
			size_t best = corner + (a[i - 1] != b[k - 1]);

			corner = row[k];
			if (row[k] + 1 < best)
				best = row[k] + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			row[k] = best;
		}
	}
	return row[n];
}

const char *value_nearest(const char *word, const char *const *known, size_t n_known)
{
	const char *best = NULL;
	size_t nearest = SIZE_MAX, len = strlen(word);

	if (len == 0 || len > NEAREST_WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n_known; i++) {
		size_t known_len = strlen(known[i]);
		size_t d = known_len <= NEAREST_WORD_MAX ? distance(word, known[i]) : known_len;
		bool part = len >= 4 && known_len >= 4 &&
			    (strstr(known[i], word) || strstr(word, known[i]));

		/* A third of the letters may be wrong; a part of the word is near, too. */
		if (d > (known_len + 2) / 3 && !part)
			continue;
		if (d < nearest) {
			nearest = d;
			best = known[i];
		}
	}
	return best;
}
