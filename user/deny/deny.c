/* SPDX-License-Identifier: BSD-2-Clause */
#include "deny/deny.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "deny/internal.h"
#include "obs/log.h"

/* Entries looked at in a second: a million in a minute, each look a read of memory. */
#define SWEEP_BATCH 16384
#define SWEEP_US 1000000

bool deny_refuses(struct deny *deny, const uint8_t ip[16])
{
	struct deny_entry *entry;
	bool refused = false;
	uint64_t now_ns;

	if (!__atomic_load_n(&deny->count, __ATOMIC_RELAXED))
		return false;
	now_ns = deny_now_ns();
	(void)pthread_rwlock_rdlock(&deny->lock);
	entry = deny_set_match(deny->set, ip, now_ns);
	if (entry) {
		refused = up_deny_says(&entry->said, now_ns) == UP_DENY_REFUSE;
		__atomic_fetch_add(&entry->said.hits, 1, __ATOMIC_RELAXED);
	}
	(void)pthread_rwlock_unlock(&deny->lock);
	__atomic_fetch_add(&deny->lookups, 1, __ATOMIC_RELAXED);
	if (refused)
		__atomic_fetch_add(&deny->refused, 1, __ATOMIC_RELAXED);
	return refused;
}

bool deny_would_refuse(struct deny *deny, const uint8_t ip[16])
{
	uint64_t now_ns = deny_now_ns();
	const struct deny_entry *entry;
	bool refused;

	(void)pthread_rwlock_rdlock(&deny->lock);
	entry = deny_set_match(deny->set, ip, now_ns);
	refused = entry && up_deny_says(&entry->said, now_ns) == UP_DENY_REFUSE;
	(void)pthread_rwlock_unlock(&deny->lock);
	return refused;
}

void deny_give(const struct deny *deny, uid_t uid, gid_t gid)
{
	if (deny && deny->kern)
		kern_deny_give(deny->kern, uid, gid);
}

int deny_map_fd(const struct deny *deny)
{
	return deny->kern ? kern_deny_fd(deny->kern) : -1;
}

/* ---- one entry ---- */

static void lock(struct deny *deny)
{
	(void)pthread_rwlock_wrlock(&deny->lock);
}

static void unlock(struct deny *deny)
{
	__atomic_store_n(&deny->count, deny_set_count(deny->set), __ATOMIC_RELAXED);
	(void)pthread_rwlock_unlock(&deny->lock);
}

static bool says_nothing(const struct up_deny *said)
{
	return said->control == UP_DENY_NONE && said->file == UP_DENY_NONE;
}

/* Have an entry say this; nothing: remove it. The set cannot fail. */
static void say(struct deny *deny, struct deny_entry *entry, const struct up_deny *said)
{
	deny->claims[DENY_CONTROL] += (said->control != 0) - (entry->said.control != 0);
	deny->claims[DENY_FILE] += (said->file != 0) - (entry->said.file != 0);
	lock(deny);
	entry->said.control = said->control;
	entry->said.control_until_ns = said->control_until_ns;
	entry->said.file = said->file;
	entry->said.file_until_ns = said->file_until_ns;
	if (says_nothing(said))
		deny_set_remove(deny->set, entry);
	unlock(deny);
}

static int tell_kernel(struct deny *deny, const struct cidr *cidr, const struct up_deny *said)
{
	int err;

	if (!deny->kern)
		return 0;
	if (!says_nothing(said))
		return kern_deny_set(deny->kern, cidr->ip, said);
	err = kern_deny_remove(deny->kern, cidr->ip, cidr->prefix_len);
	return err == -ENOENT ? 0 : err;
}

static int find_or_make(struct deny *deny, const struct cidr *cidr, struct deny_entry **ret)
{
	int err;

	lock(deny); /* the entries may move */
	err = deny_set_add(deny->set, cidr, ret);
	unlock(deny);
	return err;
}

int deny_add(struct deny *deny, const struct deny_rule *rule)
{
	struct up_deny before, said;
	struct deny_entry *entry;
	uint64_t until_ns;
	int err;

	if (!deny_until_ns(rule->until_us, &until_ns))
		return -ETIME;
	err = find_or_make(deny, &rule->cidr, &entry);
	if (err == -ENOSPC) {
		deny_sweep(deny, deny_set_count(deny->set));
		err = find_or_make(deny, &rule->cidr, &entry);
	}
	if (err)
		return err;
	said = before = entry->said;
	said.control = rule->verdict;
	said.control_until_ns = until_ns;
	err = tell_kernel(deny, &rule->cidr, &said);
	say(deny, entry, err ? &before : &said);
	return err;
}

int deny_del(struct deny *deny, const struct cidr *cidr)
{
	struct deny_entry *entry = deny_set_find(deny->set, cidr);
	struct up_deny said;
	int err;

	if (!entry || !up_deny_lasts(entry->said.control_until_ns, deny_now_ns()) ||
	    entry->said.control == UP_DENY_NONE)
		return entry && entry->said.file ? -EROFS : -ENOENT;
	said = entry->said;
	said.control = UP_DENY_NONE;
	said.control_until_ns = 0;
	err = tell_kernel(deny, cidr, &said);
	if (!err)
		say(deny, entry, &said);
	return err;
}

/* ---- what has expired ---- */

static void expire(struct deny *deny, struct deny_entry *entry, uint64_t now_ns)
{
	struct cidr cidr = deny_entry_cidr(entry);
	struct up_deny said = entry->said;

	if (!up_deny_lasts(said.control_until_ns, now_ns))
		said.control = UP_DENY_NONE;
	if (!up_deny_lasts(said.file_until_ns, now_ns))
		said.file = UP_DENY_NONE;
	if (said.control == entry->said.control && said.file == entry->said.file)
		return;
	/* Left in the kernel it says nothing there, either. */
	(void)tell_kernel(deny, &cidr, &said);
	say(deny, entry, &said);
}

void deny_sweep(struct deny *deny, size_t n)
{
	uint64_t now_ns = deny_now_ns();

	/* From the end: whoever takes the place of one removed has been looked at. */
	for (; n > 0 && deny_set_count(deny->set) > 0; n--) {
		if (deny->sweep_at == 0 || deny->sweep_at > deny_set_count(deny->set))
			deny->sweep_at = deny_set_count(deny->set);
		expire(deny, deny_set_at(deny->set, --deny->sweep_at), now_ns);
	}
}

static void on_tick(struct loop_timer *timer)
{
	struct deny *deny = container_of(timer, struct deny, tick);
	size_t n = deny_set_count(deny->set);

	deny_sweep(deny, n < SWEEP_BATCH ? n : SWEEP_BATCH);
	(void)loop_timer_arm(deny->loop, timer, SWEEP_US);
}

/* ---- what there is ---- */

size_t deny_count(const struct deny *deny)
{
	return deny_set_count(deny->set);
}

bool deny_item(const struct deny *deny, size_t number, enum deny_source source,
	       struct deny_item *ret)
{
	const struct deny_entry *entry = deny_set_at(deny->set, number);
	bool control = source == DENY_CONTROL;
	uint64_t until_ns = control ? entry->said.control_until_ns : entry->said.file_until_ns;

	*ret = (struct deny_item){
		.cidr = deny_entry_cidr(entry),
		.verdict = control ? entry->said.control : entry->said.file,
		.until_us = deny_until_us(until_ns),
	};
	if (ret->verdict == UP_DENY_NONE || !up_deny_lasts(until_ns, deny_now_ns()))
		return false;
	ret->hits = __atomic_load_n(&entry->said.hits, __ATOMIC_RELAXED);
	if (deny->kern)
		ret->hits += kern_deny_hits(deny->kern, ret->cidr.ip, ret->cidr.prefix_len);
	return true;
}

void deny_stats(const struct deny *deny, struct deny_stats *ret)
{
	*ret = (struct deny_stats){
		.entries = { deny->claims[DENY_CONTROL], deny->claims[DENY_FILE] },
		.room = deny->room,
		.lookups = __atomic_load_n(&deny->lookups, __ATOMIC_RELAXED),
		.refused = __atomic_load_n(&deny->refused, __ATOMIC_RELAXED),
		.kept = deny->kern && kern_deny_is_pinned(deny->kern),
	};
}

/* ---- start and stop ---- */

static int take_over(void *context, const struct up_deny_key *key, const struct up_deny *said)
{
	struct cidr cidr = { .prefix_len = (uint8_t)key->prefix_len };
	struct deny_set *set = context;
	struct deny_entry *entry;
	int err;

	if (key->prefix_len > 128 || said->prefix_len != key->prefix_len)
		return 0;
	memcpy(cidr.ip, key->ip, sizeof(cidr.ip));
	err = deny_set_add(set, &cidr, &entry);
	if (err)
		return err;
	entry->said = *said;
	entry->said.hits = 0; /* the map has them */
	return 0;
}

/* What is in the map goes into set. */
static int read_kernel(struct deny *deny, struct deny_set *set, char *why, size_t why_size)
{
	int err;

	if (!kern_deny_is_pinned(deny->kern))
		log_warn("deny.not_kept reason=\"another daemon has the pinned list: what is "
			 "denied here ends with this daemon\"");
	err = kern_deny_each(deny->kern, take_over, set);
	if (err)
		(void)snprintf(why, why_size, "read what is pinned: %s", strerror(-err));
	return err;
}

/* Have the map, and what is in it. */
static int open_kernel(struct deny *deny, struct deny_set *set, char *why, size_t why_size)
{
	const struct kern_deny_params given = { .entries = deny->room, .pin_root = deny->pin_root };
	int err = kern_deny_open(&given, &deny->kern, why, why_size);

	if (err && !deny->needs_kernel) {
		log_debug("deny.kernel_off reason=\"%s\"", why);
		return 0;
	}
	return err ? err : read_kernel(deny, set, why, why_size);
}

static int bring_up(struct deny *deny, const char *file, char *why, size_t why_size)
{
	struct deny_reload *reload;
	int err = deny_set_new(deny->room, &deny->set);

	if (!err)
		err = open_kernel(deny, deny->set, why, why_size);
	/* The file may be another one than the last daemon's. */
	if (!err)
		err = deny_reload_prepare(deny, file, &reload, why, why_size);
	if (!err)
		deny_reload_commit(deny, reload);
	return err;
}

static int init_lock(pthread_rwlock_t *rwlock)
{
	pthread_rwlockattr_t attr;
	int err = pthread_rwlockattr_init(&attr);

	/* A change must not wait for a pause of all workers. */
	if (!err)
		err = pthread_rwlockattr_setkind_np(&attr,
						    PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	if (!err)
		err = pthread_rwlock_init(rwlock, &attr);
	return -err;
}

static void free_all(struct deny *deny, bool keep)
{
	kern_deny_close(deny->kern, keep);
	kern_deny_close(deny->lent, true);
	deny_set_free(deny->set);
	(void)pthread_rwlock_destroy(&deny->lock);
	free(deny);
}

int deny_start(const struct deny_params *params, struct deny **ret)
{
	struct deny *deny = calloc(1, sizeof(*deny));
	char why[512] = "";
	int err;

	if (!deny)
		return -ENOMEM;
	err = init_lock(&deny->lock);
	if (err) {
		free(deny);
		return err;
	}
	deny->loop = params->loop;
	deny->room = params->entries;
	deny->needs_kernel = params->needs_kernel;
	deny->pin_root = params->pin_root;
	deny->tick.fn = on_tick;
	err = bring_up(deny, params->file, why, sizeof(why));
	if (err) {
		log_error("deny.failed error=\"%s\"", *why ? why : strerror(-err));
		free_all(deny, kern_deny_found(deny->kern));
		return err;
	}
	if (deny_set_count(deny->set) > 0)
		log_info("deny.on control=%" PRIu64 " file=%" PRIu64, deny->claims[DENY_CONTROL],
			 deny->claims[DENY_FILE]);
	on_tick(&deny->tick);
	*ret = deny;
	return 0;
}

void deny_stop(struct deny *deny)
{
	if (!deny)
		return;
	loop_timer_cancel(deny->loop, &deny->tick);
	deny_sweep(deny, deny_set_count(deny->set));
	free_all(deny, deny->claims[DENY_CONTROL] > 0);
}

void deny_let_go(struct deny *deny)
{
	if (!deny->kern)
		return;
	deny->lent = TAKE_PTR(deny->kern);
	kern_deny_let_go(deny->lent);
}

int deny_take_back(struct deny *deny)
{
	struct deny_set *there;
	char why[512] = "";
	int err;

	if (!deny->lent)
		return 0;
	err = deny_set_new(deny->room, &there);
	if (err)
		return err;
	deny->kern = TAKE_PTR(deny->lent);
	err = kern_deny_take_back(deny->kern, deny->pin_root, why, sizeof(why));
	if (!err)
		err = read_kernel(deny, there, why, sizeof(why));
	if (!err)
		deny_tell_all(deny->kern, there, deny->set);
	deny_set_free(there);
	if (err)
		log_error("deny.failed error=\"%s\"", *why ? why : strerror(-err));
	return err;
}
