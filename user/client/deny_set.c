/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/deny_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LENGTHS 129
#define SLOTS_MIN 64

/* Entries stand one behind the other; slots hold their numbers plus one, 0 is a free slot. At
 * most half of the slots are taken. */
struct deny_set {
	struct deny_entry *entries;
	uint32_t *slots;
	size_t n, room, n_slots;
	uint32_t max;
	uint64_t seeds[2]; /* who is denied may choose his address, but not where it hashes to */
	uint32_t lengths[2][LENGTHS]; /* entries of each prefix length: of IPv6, of IPv4 */
};

int deny_set_new(uint32_t max, struct deny_set **ret)
{
	struct deny_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->max = max;
	if (getrandom(set->seeds, sizeof(set->seeds), 0) != sizeof(set->seeds)) {
		free(set);
		return -EIO;
	}
	*ret = set;
	return 0;
}

void deny_set_free(struct deny_set *set)
{
	if (!set)
		return;
	free(set->entries);
	free(set->slots);
	free(set);
}

size_t deny_set_count(const struct deny_set *set)
{
	return set->n;
}

struct deny_entry *deny_set_at(const struct deny_set *set, size_t number)
{
	return &set->entries[number];
}

struct cidr deny_entry_cidr(const struct deny_entry *entry)
{
	struct cidr cidr = { .prefix_len = (uint8_t)entry->said.prefix_len };

	memcpy(cidr.ip, entry->ip, sizeof(cidr.ip));
	return cidr;
}

static bool is_ipv4(const struct cidr *cidr)
{
	return cidr->prefix_len >= CIDR_MAPPED_BITS && cidr_is_mapped(cidr->ip);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(const struct deny_set *set, const uint8_t ip[16], unsigned prefix_len)
{
	uint64_t halves[2];

	memcpy(halves, ip, sizeof(halves));
	return fold(fold(halves[0] ^ set->seeds[0], halves[1] ^ set->seeds[1]) ^ set->seeds[0],
		    (prefix_len + 1) * UINT64_C(0x9E3779B97F4A7C15));
}

static bool is_entry(const struct deny_entry *entry, const uint8_t ip[16], unsigned prefix_len)
{
	return entry->said.prefix_len == prefix_len &&
	       memcmp(entry->ip, ip, sizeof(entry->ip)) == 0;
}

/* The slot of a network, or the free one where it would be. There is a free one. */
static size_t slot_of(const struct deny_set *set, const uint8_t ip[16], unsigned prefix_len)
{
	size_t at = hash(set, ip, prefix_len) & (set->n_slots - 1);

	while (set->slots[at] && !is_entry(&set->entries[set->slots[at] - 1], ip, prefix_len))
		at = (at + 1) & (set->n_slots - 1);
	return at;
}

static struct deny_entry *find(const struct deny_set *set, const uint8_t ip[16],
			       unsigned prefix_len)
{
	uint32_t number = set->n ? set->slots[slot_of(set, ip, prefix_len)] : 0;

	return number ? &set->entries[number - 1] : NULL;
}

struct deny_entry *deny_set_find(const struct deny_set *set, const struct cidr *cidr)
{
	return find(set, cidr->ip, cidr->prefix_len);
}

static int grow_slots(struct deny_set *set)
{
	size_t n_slots = set->n_slots ? set->n_slots * 2 : SLOTS_MIN;
	uint32_t *slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(set->slots);
	set->slots = slots;
	set->n_slots = n_slots;
	for (size_t i = 0; i < set->n; i++) {
		const struct deny_entry *entry = &set->entries[i];

		slots[slot_of(set, entry->ip, entry->said.prefix_len)] = (uint32_t)i + 1;
	}
	return 0;
}

static int make_room(struct deny_set *set)
{
	struct deny_entry *entries;
	size_t room;

	if (set->n >= set->max)
		return -ENOSPC;
	if (set->n == set->room) {
		room = set->room ? set->room * 2 : SLOTS_MIN / 2;
		entries = reallocarray(set->entries, room, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		set->entries = entries;
		set->room = room;
	}
	return set->n * 2 >= set->n_slots ? grow_slots(set) : 0;
}

int deny_set_add(struct deny_set *set, const struct cidr *cidr, struct deny_entry **ret)
{
	struct deny_entry *entry = deny_set_find(set, cidr);
	int err;

	if (entry) {
		*ret = entry;
		return 0;
	}
	err = make_room(set);
	if (err)
		return err;
	entry = &set->entries[set->n++];
	*entry = (struct deny_entry){ .said.prefix_len = cidr->prefix_len };
	memcpy(entry->ip, cidr->ip, sizeof(entry->ip));
	set->slots[slot_of(set, cidr->ip, cidr->prefix_len)] = (uint32_t)set->n;
	set->lengths[is_ipv4(cidr)][cidr->prefix_len]++;
	*ret = entry;
	return 0;
}

/* Free a slot, and move those up that had to step over it. */
static void free_slot(struct deny_set *set, size_t hole)
{
	size_t mask = set->n_slots - 1;

	for (size_t at = (hole + 1) & mask; set->slots[at]; at = (at + 1) & mask) {
		const struct deny_entry *entry = &set->entries[set->slots[at] - 1];
		size_t home = hash(set, entry->ip, entry->said.prefix_len) & mask;

		if (((at - home) & mask) < ((at - hole) & mask))
			continue; /* its search does not pass the hole */
		set->slots[hole] = set->slots[at];
		hole = at;
	}
	set->slots[hole] = 0;
}

void deny_set_remove(struct deny_set *set, struct deny_entry *entry)
{
	struct deny_entry *last = &set->entries[set->n - 1];
	struct cidr cidr = deny_entry_cidr(entry);

	free_slot(set, slot_of(set, cidr.ip, cidr.prefix_len));
	if (entry != last) {
		set->slots[slot_of(set, last->ip, last->said.prefix_len)] =
			(uint32_t)(entry - set->entries) + 1;
		*entry = *last;
	}
	set->n--;
	set->lengths[is_ipv4(&cidr)][cidr.prefix_len]--;
}

/* Clear what stands behind the prefix. */
static void shorten(uint8_t ip[16], unsigned prefix_len)
{
	unsigned byte = prefix_len / 8;

	if (byte == 16)
		return;
	ip[byte] &= (uint8_t)(0xFF00 >> prefix_len % 8);
	memset(ip + byte + 1, 0, 15 - byte);
}

struct deny_entry *deny_set_match(const struct deny_set *set, const uint8_t ip[16], uint64_t now_ns)
{
	bool ipv4 = cidr_is_mapped(ip);
	int shortest = ipv4 ? CIDR_MAPPED_BITS : 0;
	uint8_t prefix[16];

	memcpy(prefix, ip, sizeof(prefix));
	for (int len = LENGTHS - 1; len >= shortest; len--) {
		struct deny_entry *entry;

		if (!set->lengths[ipv4][len])
			continue;
		shorten(prefix, (unsigned)len);
		entry = find(set, prefix, (unsigned)len);
		if (entry && up_deny_says(&entry->said, now_ns) != UP_DENY_NONE)
			return entry;
	}
	return NULL;
}
