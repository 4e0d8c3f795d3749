/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can be said of clients, in words: "192.0.2.0/24", "192.0.2.1 allow",
 * "2001:db8::/32 for 1h", "192.0.2.7 until 2026-12-24T12:00:00Z". A file has one a line, with
 * empty lines, and comments behind # or ;. No logging.
 */
#ifndef CLIENT_DENY_FILE_H
#define CLIENT_DENY_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "unproxy/deny_abi.h"

struct deny_rule {
	struct cidr cidr;
	enum up_deny_verdict verdict;
	unsigned line;     /* of the file; 0: of none */
	uint64_t until_us; /* CLOCK_REALTIME; 0: for ever */
};

/* from_us: what "for" counts from. 0, or -EINVAL and why; on failure *ret is untouched. */
int deny_rule_parse(const char *text, uint64_t from_us, struct deny_rule *ret, char *why,
		    size_t why_size);

struct deny_rules {
	struct deny_rule *at;
	size_t n;
};

/* Read a file of max rules at most; "for" counts from its last change. 0 and the caller owns
 * *ret; or -errno, "file:line: message" in why and *ret untouched. */
int deny_file_read(const char *path, uint32_t max, struct deny_rules *ret, char *why,
		   size_t why_size);
void deny_rules_free(struct deny_rules *rules);

#endif
