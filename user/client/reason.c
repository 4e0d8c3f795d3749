// SPDX-License-Identifier: BSD-2-Clause
/* The texts of enum up_reason, expanded from the one table in unproxy/reason.h. */
#include "client/reason.h"

#include <string.h>

#include "base/cleanup.h"

static const struct {
	const char *name;
	const char *hint;
} reasons[] = { [UP_REASON_NONE] = { "none", NULL },
#define X(id, name, hint) [UP_REASON_##id] = { name, hint },
		UP_REASONS(X)
#undef X
};
_Static_assert(ARRAY_SIZE(reasons) == UP_REASON__MAX, "a reason without its texts");

const char *up_reason_name(enum up_reason reason)
{
	return (size_t)reason < UP_REASON__MAX ? reasons[reason].name : "unknown";
}

const char *up_reason_hint(enum up_reason reason)
{
	return (size_t)reason < UP_REASON__MAX ? reasons[reason].hint : NULL;
}

#define HINT(what) "no PROXY header but plain " what ": is PROXY protocol on at the load balancer?"

/* What unconfigured balancers and strangers send first. */
static const struct {
	const char *bytes;
	const char *what;
	const char *hint;
} lookalikes[] = {
	{ "GET ", "HTTP", HINT("HTTP") },
	{ "HEAD ", "HTTP", HINT("HTTP") },
	{ "POST ", "HTTP", HINT("HTTP") },
	{ "PUT ", "HTTP", HINT("HTTP") },
	{ "PATCH ", "HTTP", HINT("HTTP") },
	{ "DELETE ", "HTTP", HINT("HTTP") },
	{ "OPTIONS ", "HTTP", HINT("HTTP") },
	{ "CONNECT ", "HTTP", HINT("HTTP") },
	{ "PRI * HTTP/2", "HTTP/2", HINT("HTTP/2") },
	{ "\x16\x03", "TLS", HINT("TLS") },
	{ "SSH-", "SSH", HINT("SSH") },
	{ "EHLO ", "SMTP", HINT("SMTP") },
	{ "HELO ", "SMTP", HINT("SMTP") },
};

static const char *lookalike_hint(const uint8_t *bytes, size_t len, const char **ret_what)
{
	for (size_t i = 0; i < ARRAY_SIZE(lookalikes); i++) {
		size_t n = strlen(lookalikes[i].bytes);

		if (len < n || memcmp(bytes, lookalikes[i].bytes, n) != 0)
			continue;
		*ret_what = lookalikes[i].what;
		return lookalikes[i].hint;
	}
	*ret_what = NULL;
	return NULL;
}

const char *reason_guess(const uint8_t *bytes, size_t len)
{
	const char *what;

	(void)lookalike_hint(bytes, len, &what);
	return what;
}

const char *reason_hint_for(enum up_reason reason, const uint8_t *bytes, size_t len)
{
	const char *what, *hint = NULL;

	if (reason == UP_REASON_NO_HEADER)
		hint = lookalike_hint(bytes, len, &what);
	return hint ? hint : up_reason_hint(reason);
}
