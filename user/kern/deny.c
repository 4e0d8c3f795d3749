// SPDX-License-Identifier: BSD-2-Clause
#include "kern/deny.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "deny.skel.h"
#include "kern/hook_pin.h"
#include "kern/internal.h"

#define PINS "deny"
#define BATCH 1024

struct kern_deny {
	struct deny_bpf *skel;
	struct pin_dir pins; /* fd -1: another daemon's */
	int fd;              /* of the map that came in place of ours; -1: none */
	bool found;          /* ... an earlier one's list was there */
};

int kern_deny_fd(const struct kern_deny *deny)
{
	return deny->fd >= 0 ? deny->fd : bpf_map__fd(deny->skel->maps.deny_list);
}

void kern_deny_give(const struct kern_deny *deny, uid_t uid, gid_t gid)
{
	if (deny->pins.fd >= 0)
		(void)!fchown(deny->pins.fd, uid, gid);
}

bool kern_deny_is_pinned(const struct kern_deny *deny)
{
	return deny->pins.fd >= 0;
}

bool kern_deny_found(const struct kern_deny *deny)
{
	return deny && deny->found;
}

static void list_path(const struct kern_deny *deny, const char *name, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s/%s", deny->pins.path, name);
}

/* The pinned map of an earlier daemon. -ENOENT: none that we can read. */
static int find_pinned(const struct kern_deny *deny, struct bpf_map_info *ret)
{
	const struct bpf_map *map = deny->skel->maps.deny_list;
	_cleanup_close_ int fd = -1;
	char path[sizeof(deny->pins.path) + 8];
	uint32_t len = sizeof(*ret);

	list_path(deny, "list", path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(fd, ret, &len) < 0)
		return -errno;
	if (ret->type != bpf_map__type(map) || ret->key_size != bpf_map__key_size(map) ||
	    ret->value_size != bpf_map__value_size(map))
		return -ENOENT;
	return take_fd(&fd);
}

static int each(int fd, kern_deny_fn *fn, void *context)
{
	struct up_deny_key keys[BATCH], place;
	struct up_deny entries[BATCH];
	void *in = NULL;
	int err = 0;

	while (!err) {
		uint32_t count = BATCH;

		if (bpf_map_lookup_batch(fd, in, &place, keys, entries, &count, NULL) < 0)
			err = -errno;
		if (err && err != -ENOENT) /* the last batch says ENOENT, and may hold some */
			return err;
		for (uint32_t i = 0; i < count; i++) {
			int r = fn(context, &keys[i], &entries[i]);

			if (r)
				return r;
		}
		in = &place;
	}
	return 0;
}

static int copy_one(void *context, const struct up_deny_key *key, const struct up_deny *entry)
{
	const struct kern_deny *deny = context;

	return bpf_map_update_elem(kern_deny_fd(deny), key, entry, BPF_ANY) < 0 ? -errno : 0;
}

/* In place of a pin that may be there, at once: the name always means a whole list. */
static int pin(const struct kern_deny *deny)
{
	char path[sizeof(deny->pins.path) + 8], fresh[sizeof(deny->pins.path) + 8];

	list_path(deny, "list", path, sizeof(path));
	list_path(deny, "new", fresh, sizeof(fresh));
	(void)unlink(fresh);
	if (bpf_obj_pin(kern_deny_fd(deny), fresh) < 0 || rename(fresh, path) < 0) {
		int err = -errno;

		(void)unlink(fresh);
		return err;
	}
	return 0;
}

static int load(struct kern_deny *deny, uint32_t entries, char *why, size_t why_size)
{
	_cleanup_close_ int pinned = -1;
	struct bpf_map_info info = { 0 };
	int err;

	pinned = deny->pins.fd < 0 ? -ENOENT : find_pinned(deny, &info);
	deny->found = pinned >= 0;
	err = bpf_map__set_max_entries(deny->skel->maps.deny_list, entries);
	if (!err && pinned >= 0 && info.max_entries == entries)
		err = bpf_map__reuse_fd(deny->skel->maps.deny_list, pinned);
	if (!err)
		err = deny_bpf__load(deny->skel);
	if (err)
		return kern_fail(why, why_size, "load", err);
	if (deny->pins.fd < 0 || (pinned >= 0 && info.max_entries == entries))
		return 0;
	if (pinned >= 0)
		err = each(pinned, copy_one, deny);
	if (err) {
		(void)snprintf(why, why_size, "%u entries are too few for what is pinned: %s",
			       entries, strerror(-err));
		return err;
	}
	err = pin(deny);
	return err ? kern_fail(why, why_size, "pin", err) : 0;
}

/* 0 also where another daemon has it. */
static int claim(struct kern_deny *deny, const char *pin_root)
{
	int err = pin_claim_only(pin_root, PINS, &deny->pins);

	if (err == -ENOENT) /* whoever had it has just removed it */
		err = pin_claim_only(pin_root, PINS, &deny->pins);
	return err == -EWOULDBLOCK ? 0 : err;
}

static int bring_up(struct kern_deny *deny, const struct kern_deny_params *params, char *why,
		    size_t why_size)
{
	int err = claim(deny, params->pin_root);

	if (err)
		return kern_fail(why, why_size, "pin", err);
	deny->skel = deny_bpf__open();
	if (!deny->skel)
		return kern_fail(why, why_size, "open", -errno);
	return load(deny, params->entries, why, why_size);
}

int kern_deny_open(const struct kern_deny_params *params, struct kern_deny **ret, char *why,
		   size_t why_size)
{
	struct kern_deny *deny = calloc(1, sizeof(*deny));
	int err;

	if (!deny)
		return -ENOMEM;
	deny->pins.fd = deny->fd = -1;
	kern_quiet();
	err = bring_up(deny, params, why, why_size);
	if (err) {
		kern_deny_close(deny, deny->found);
		return err;
	}
	*ret = deny;
	return 0;
}

void kern_deny_let_go(struct kern_deny *deny)
{
	pin_leave(&deny->pins);
}

static bool is_ours(const struct kern_deny *deny, const struct bpf_map_info *pinned)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(kern_deny_fd(deny), &info, &len) == 0 &&
	       info.id == pinned->id;
}

int kern_deny_take_back(struct kern_deny *deny, const char *pin_root, char *why, size_t why_size)
{
	struct bpf_map_info info = { 0 };
	_cleanup_close_ int pinned = -1;
	int err = claim(deny, pin_root);

	if (err)
		return kern_fail(why, why_size, "pin", err);
	if (deny->pins.fd < 0)
		return 0;
	pinned = find_pinned(deny, &info);
	if (pinned < 0) {
		err = pin(deny);
		return err ? kern_fail(why, why_size, "pin", err) : 0;
	}
	if (is_ours(deny, &info))
		return 0;
	cleanup_close(&deny->fd);
	deny->fd = take_fd(&pinned);
	return 0;
}

/* Their pins go when the last filter does. */
static bool programs_stay(const struct kern_deny *deny)
{
	char path[sizeof(deny->pins.path) + 16];

	list_path(deny, "../inline", path, sizeof(path));
	return access(path, F_OK) == 0;
}

void kern_deny_close(struct kern_deny *deny, bool keep)
{
	if (!deny)
		return;
	if (keep || programs_stay(deny))
		pin_leave(&deny->pins);
	else
		pin_remove(&deny->pins);
	cleanup_close(&deny->fd);
	deny_bpf__destroy(deny->skel);
	free(deny);
}

static struct up_deny_key key_of(const uint8_t ip[16], uint32_t prefix_len)
{
	struct up_deny_key key = { .prefix_len = prefix_len };

	memcpy(key.ip, ip, sizeof(key.ip));
	return key;
}

int kern_deny_set(struct kern_deny *deny, const uint8_t ip[16], const struct up_deny *entry)
{
	struct up_deny_key key = key_of(ip, entry->prefix_len);
	struct up_deny fresh = *entry;

	fresh.hits = kern_deny_hits(deny, ip, entry->prefix_len);
	return bpf_map_update_elem(kern_deny_fd(deny), &key, &fresh, BPF_ANY) < 0 ? -errno : 0;
}

int kern_deny_remove(struct kern_deny *deny, const uint8_t ip[16], uint32_t prefix_len)
{
	struct up_deny_key key = key_of(ip, prefix_len);

	return bpf_map_delete_elem(kern_deny_fd(deny), &key) < 0 ? -errno : 0;
}

uint64_t kern_deny_hits(const struct kern_deny *deny, const uint8_t ip[16], uint32_t prefix_len)
{
	struct up_deny_key key = key_of(ip, prefix_len);
	struct up_deny entry;

	/* The longest match: another network's, if there is no such entry. */
	if (bpf_map_lookup_elem(kern_deny_fd(deny), &key, &entry) < 0 ||
	    entry.prefix_len != prefix_len)
		return 0;
	return entry.hits;
}

int kern_deny_each(const struct kern_deny *deny, kern_deny_fn *fn, void *context)
{
	return each(kern_deny_fd(deny), fn, context);
}

unsigned kern_deny_sweep(const char *pin_root)
{
	return pin_sweep(pin_root, PINS);
}
