/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of networks, with what is said of each, searched by the longest prefix: a hash table,
 * asked once for each prefix length in use. Pure, not thread-safe: user/deny has the lock.
 */
#ifndef CLIENT_DENY_SET_H
#define CLIENT_DENY_SET_H

#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "unproxy/deny_abi.h"

struct deny_set;

struct deny_entry {
	uint8_t ip[16];
	struct up_deny said; /* hits: of the relay alone; atomic */
};

/* Room for max entries; memory is taken as they come. 0 or -errno. */
int deny_set_new(uint32_t max, struct deny_set **ret);
void deny_set_free(struct deny_set *set);

size_t deny_set_count(const struct deny_set *set);

/* By number, 0 to deny_set_count() - 1. An addition keeps the numbers, a removal gives the last
 * entry the number of the one removed. Valid until the next change. */
struct deny_entry *deny_set_at(const struct deny_set *set, size_t number);

/* Exactly this network's, or NULL. */
struct deny_entry *deny_set_find(const struct deny_set *set, const struct cidr *cidr);

/* Find, or make one that says nothing. 0; -ENOSPC: max are there; -ENOMEM. */
int deny_set_add(struct deny_set *set, const struct cidr *cidr, struct deny_entry **ret);

void deny_set_remove(struct deny_set *set, struct deny_entry *entry);

/* The entry that decides over a client at this time (CLOCK_BOOTTIME), or NULL: that with the
 * longest prefix of those that say something now. */
struct deny_entry *deny_set_match(const struct deny_set *set, const uint8_t ip[16],
				  uint64_t now_ns);

struct cidr deny_entry_cidr(const struct deny_entry *entry);

#endif
