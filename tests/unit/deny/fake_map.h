/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/deny as an array, for the linker's --wrap. */
#ifndef TESTS_UNIT_DENY_FAKE_MAP_H
#define TESTS_UNIT_DENY_FAKE_MAP_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kern/deny.h"

static struct up_deny_key keys[64];
static struct up_deny map[64];
static size_t n_map, map_room, map_writes;
static bool has_map, kept;

int __wrap_kern_deny_open(const struct kern_deny_params *params, struct kern_deny **ret, char *why,
			  size_t why_size);
void __wrap_kern_deny_close(struct kern_deny *kern, bool keep);
int __wrap_kern_deny_set(struct kern_deny *kern, const uint8_t ip[16], const struct up_deny *entry);
int __wrap_kern_deny_remove(struct kern_deny *kern, const uint8_t ip[16], uint32_t prefix_len);
uint64_t __wrap_kern_deny_hits(const struct kern_deny *kern, const uint8_t ip[16],
			       uint32_t prefix_len);
int __wrap_kern_deny_each(const struct kern_deny *kern, kern_deny_fn *fn, void *context);
bool __wrap_kern_deny_is_pinned(const struct kern_deny *kern);
bool __wrap_kern_deny_found(const struct kern_deny *kern);
int __wrap_kern_deny_fd(const struct kern_deny *kern);

int __wrap_kern_deny_open(const struct kern_deny_params *params, struct kern_deny **ret, char *why,
			  size_t why_size)
{
	if (!has_map) {
		(void)snprintf(why, why_size, "not here");
		return -EPERM;
	}
	*ret = (struct kern_deny *)map;
	return 0;
}

void __wrap_kern_deny_let_go(struct kern_deny *kern);
void __wrap_kern_deny_let_go(struct kern_deny *kern)
{
	(void)kern;
	kept = true;
}

int __wrap_kern_deny_take_back(struct kern_deny *kern, const char *pin_root, char *why,
			       size_t why_size);
int __wrap_kern_deny_take_back(struct kern_deny *kern, const char *pin_root, char *why,
			       size_t why_size)
{
	(void)kern;
	(void)pin_root;
	(void)why;
	(void)why_size;
	return 0;
}

void __wrap_kern_deny_close(struct kern_deny *kern, bool keep)
{
	if (kern)
		kept = keep;
}

bool __wrap_kern_deny_found(const struct kern_deny *kern)
{
	return false;
}

static size_t place(const uint8_t ip[16], uint32_t prefix_len)
{
	size_t i = 0;

	while (i < n_map && (keys[i].prefix_len != prefix_len || memcmp(keys[i].ip, ip, 16) != 0))
		i++;
	return i;
}

int __wrap_kern_deny_set(struct kern_deny *kern, const uint8_t ip[16], const struct up_deny *entry)
{
	size_t i = place(ip, entry->prefix_len);

	map_writes++;
	if (i == map_room)
		return -ENOSPC;
	if (i == n_map)
		n_map++;
	keys[i].prefix_len = entry->prefix_len;
	memcpy(keys[i].ip, ip, 16);
	map[i] = *entry;
	return 0;
}

int __wrap_kern_deny_remove(struct kern_deny *kern, const uint8_t ip[16], uint32_t prefix_len)
{
	size_t i = place(ip, prefix_len);

	if (i == n_map)
		return -ENOENT;
	n_map--;
	keys[i] = keys[n_map];
	map[i] = map[n_map];
	return 0;
}

uint64_t __wrap_kern_deny_hits(const struct kern_deny *kern, const uint8_t ip[16],
			       uint32_t prefix_len)
{
	return 40;
}

int __wrap_kern_deny_each(const struct kern_deny *kern, kern_deny_fn *fn, void *context)
{
	int r = 0;

	for (size_t i = 0; !r && i < n_map; i++)
		r = fn(context, &keys[i], &map[i]);
	return r;
}

bool __wrap_kern_deny_is_pinned(const struct kern_deny *kern)
{
	return true;
}

int __wrap_kern_deny_fd(const struct kern_deny *kern)
{
	return 5;
}

#endif
