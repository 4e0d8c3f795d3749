/* SPDX-License-Identifier: BSD-2-Clause */
/* Which sources may speak PROXY. A list is small (a balancer's subnets), so it is searched in order. */
#include "conf/trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define MAPPED_BITS 96
#define WORD_MAX 64

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return rest == 0 || ((a[bytes] ^ b[bytes]) >> (8 - rest)) == 0;
}

static bool host_bits_set(const struct trust_rule *rule)
{
	for (unsigned bit = rule->prefix_len; bit < 128; bit++) {
		if (rule->ip[bit / 8] & (0x80 >> bit % 8))
			return true;
	}
	return false;
}

/* "/LEN" -> *ret, which holds the longest already. Digits only, no leading zero. */
static int parse_prefix(const char *text, unsigned *ret)
{
	unsigned len = 0;
	size_t n = strlen(text);

	if (n == 0 || n > 3 || (n > 1 && text[0] == '0'))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		len = len * 10 + (unsigned)(*text - '0');
	}
	if (len > *ret)
		return -EINVAL;
	*ret = len;
	return 0;
}

/* One word. Returns NULL, or what is wrong with it. */
static const char *parse_rule(const char *word, struct trust_rule *ret)
{
	char ip[WORD_MAX];
	char *slash;
	unsigned len;
	bool v4;

	(void)snprintf(ip, sizeof(ip), "%s", word);
	slash = strchr(ip, '/');
	if (slash)
		*slash++ = '\0';

	v4 = inet_pton(AF_INET, ip, ret->ip + 12) == 1;
	if (v4)
		memcpy(ret->ip, mapped_prefix, sizeof(mapped_prefix));
	else if (inet_pton(AF_INET6, ip, ret->ip) != 1)
		return "not an address or CIDR";

	len = v4 ? 32 : 128;
	if (slash && parse_prefix(slash, &len) < 0)
		return v4 ? "the prefix length is 1 to 32" : "the prefix length is 1 to 128";
	ret->prefix_len = (__u8)(v4 ? len + MAPPED_BITS : len);

	if (host_bits_set(ret))
		return "has bits set behind its prefix";
	if (ret->prefix_len == 0 ||
	    (ret->prefix_len == MAPPED_BITS && memcmp(ret->ip, mapped_prefix, 12) == 0))
		return "is everyone: if you mean that, spell out: any";
	return NULL;
}

static int add_rule(struct trust *trust, const struct trust_rule *rule)
{
	struct trust_rule *rules;

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

int trust_parse(struct trust *ret, const char *text, char *ret_bad, size_t bad_size)
{
	_cleanup_(trust_free) struct trust trust = { 0 };
	const char *at = text;
	bool more = true;

	for (; more; more = at[0] != '\0' || (at > text && at[-1] == ',')) {
		struct trust_rule rule = { 0 };
		char word[WORD_MAX];
		const char *why;
		int r;

		next_word(&at, word, sizeof(word));
		if (strcmp(word, "any") == 0) {
			trust.any = true;
			continue;
		}
		why = word[0] ? parse_rule(word, &rule) : "is empty: a CIDR is expected here";
		if (why)
			return refuse(ret_bad, bad_size, word, why);
		r = add_rule(&trust, &rule);
		if (r < 0)
			return r;
	}
	if (trust.any && trust.n_rules > 0)
		return refuse(ret_bad, bad_size, "any", "leaves nothing for other rules to say");

	*ret = trust;
	trust = (struct trust){ 0 };
	return 0;
}

bool trust_match(const struct trust *trust, const struct up_addr *source)
{
	if (trust->any)
		return true;
	for (size_t i = 0; i < trust->n_rules; i++) {
		const struct trust_rule *rule = &trust->rules[i];

		/* "::/8" is about IPv6: that IPv4 is stored inside it must not matter. */
		if (source->family == UP_FAMILY_IPV4 && rule->prefix_len < MAPPED_BITS)
			continue;
		if (prefix_equal(rule->ip, source->ip, rule->prefix_len))
			return true;
	}
	return false;
}

void trust_free(struct trust *trust)
{
	free(trust->rules);
	*trust = (struct trust){ 0 };
}
