/* SPDX-License-Identifier: BSD-2-Clause */
/* Which sources may speak PROXY: a list of CIDRs. Pure; no I/O. */
#ifndef CONF_TRUST_H
#define CONF_TRUST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cidr.h"
#include "unproxy/addr.h"

struct trust {
	bool any; /* spelled "any" */
	struct cidr *rules;
	size_t n_rules;
};

/* Add "10.0.0.0/8, 2001:db8::/32, 192.0.2.1" or "any" to *ret, which is zero-initialised at
 * first. A v4-mapped rule matches IPv4.
 * Host bits set beyond the prefix, an empty list and "0.0.0.0/0" or "::/0" spelled
 * as such are refused. Returns 0 or -EINVAL with the offending word, quoted, and why
 * in ret_bad; on failure *ret says what it said. */
int trust_parse(struct trust *ret, const char *text, char *ret_bad, size_t bad_size);

bool trust_match(const struct trust *trust, const struct up_addr *source);
void trust_free(struct trust *trust);

#endif
