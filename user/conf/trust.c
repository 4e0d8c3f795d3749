/* SPDX-License-Identifier: BSD-2-Clause */
/* Which sources may speak PROXY. A list is small (a balancer's subnets), so it is searched in order. */
#include "conf/trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define WORD_MAX 64

/* One word. Returns NULL, or what is wrong with it. */
static const char *parse_rule(const char *word, struct cidr *ret)
{
	const char *why = cidr_parse(word, ret);

	if (why)
		return why;
	if (ret->prefix_len == 0 ||
	    (ret->prefix_len == CIDR_MAPPED_BITS && cidr_is_mapped(ret->ip)))
		return "is everyone: if you mean that, spell out: any";
	return NULL;
}

static int add_rule(struct trust *trust, const struct cidr *rule)
{
	struct cidr *rules;

	rules = reallocarray(trust->rules, trust->n_rules + 1, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	rules[trust->n_rules++] = *rule;
	trust->rules = rules;
	return 0;
}

/* Take the next word off *text: the bytes between commas, without the space round them. */
static void next_word(const char **text, char *word, size_t size)
{
	static const char space[] = " \t\r\n";
	const char *from = *text + strspn(*text, space);
	const char *comma = from + strcspn(from, ",");
	const char *end = comma;

	while (end > from && strchr(space, end[-1]))
		end--;
	(void)snprintf(word, size, "%.*s", (int)(end - from), from);
	*text = *comma ? comma + 1 : comma;
}

static int refuse(char *ret_bad, size_t size, const char *word, const char *why)
{
	(void)snprintf(ret_bad, size, "\"%s\" %s", word, why);
	return -EINVAL;
}

static int add_words(struct trust *trust, const char *text, char *ret_bad, size_t bad_size)
{
	const char *at = text;
	bool more = true;

	for (; more; more = at[0] != '\0' || (at > text && at[-1] == ',')) {
		struct cidr rule = { 0 };
		char word[WORD_MAX];
		const char *why;
		int r;

		next_word(&at, word, sizeof(word));
		if (strcmp(word, "any") == 0) {
			trust->any = true;
			continue;
		}
		why = word[0] ? parse_rule(word, &rule) : "is empty: a CIDR is expected here";
		if (why)
			return refuse(ret_bad, bad_size, word, why);
		r = add_rule(trust, &rule);
		if (r < 0)
			return r;
	}
	if (trust->any && trust->n_rules > 0)
		return refuse(ret_bad, bad_size, "any", "leaves nothing for other rules to say");
	return 0;
}

int trust_parse(struct trust *ret, const char *text, char *ret_bad, size_t bad_size)
{
	size_t n_rules = ret->n_rules;
	bool any = ret->any;
	int r = add_words(ret, text, ret_bad, bad_size);

	if (r < 0) {
		ret->n_rules = n_rules;
		ret->any = any;
	}
	return r;
}

bool trust_match(const struct trust *trust, const struct up_addr *source)
{
	if (trust->any)
		return true;
	for (size_t i = 0; i < trust->n_rules; i++) {
		if (cidr_holds(&trust->rules[i], source->ip))
			return true;
	}
	return false;
}

void trust_free(struct trust *trust)
{
	free(trust->rules);
	*trust = (struct trust){ 0 };
}
