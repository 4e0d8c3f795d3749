/* SPDX-License-Identifier: BSD-2-Clause */
/* What the file says, all of it or nothing; and the clocks that what is said is bound to. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "deny/internal.h"
#include "obs/log.h"

/* Ends that differ by less are the same: they were wall clock once. */
#define SAME_NS UINT64_C(1000000000)

struct deny_reload {
	struct deny_set *set;
	uint64_t claims[DENY_SOURCES];
};

uint64_t deny_now_ns(void)
{
	return clock_us(CLOCK_BOOTTIME) * 1000;
}

bool deny_until_ns(uint64_t until_us, uint64_t *ret_ns)
{
	uint64_t now_us = clock_us(CLOCK_REALTIME);

	*ret_ns = 0;
	if (!until_us)
		return true;
	if (until_us <= now_us)
		return false;
	*ret_ns = deny_now_ns() + (until_us - now_us) * 1000;
	return true;
}

uint64_t deny_until_us(uint64_t until_ns)
{
	uint64_t now_ns = deny_now_ns();

	if (!until_ns || until_ns <= now_ns)
		return until_ns ? 1 : 0;
	return clock_us(CLOCK_REALTIME) + (until_ns - now_ns) / 1000;
}

/* ---- prepare ---- */

/* What people said goes on. */
static int take_control(const struct deny_set *from, struct deny_reload *reload)
{
	uint64_t now_ns = deny_now_ns();

	for (size_t i = 0; i < deny_set_count(from); i++) {
		const struct deny_entry *old = deny_set_at(from, i);
		struct cidr cidr = deny_entry_cidr(old);
		struct deny_entry *entry;
		int err;

		if (!old->said.control || !up_deny_lasts(old->said.control_until_ns, now_ns))
			continue;
		err = deny_set_add(reload->set, &cidr, &entry);
		if (err)
			return err;
		entry->said.control = old->said.control;
		entry->said.control_until_ns = old->said.control_until_ns;
		reload->claims[DENY_CONTROL]++;
	}
	return 0;
}

static int take_rule(const struct deny_rule *rule, struct deny_reload *reload)
{
	struct deny_entry *entry;
	uint64_t until_ns;
	int err;

	if (!deny_until_ns(rule->until_us, &until_ns))
		return 0; /* it was true once */
	err = deny_set_add(reload->set, &rule->cidr, &entry);
	if (err)
		return err;
	reload->claims[DENY_FILE] += !entry->said.file;
	entry->said.file = rule->verdict;
	entry->said.file_until_ns = until_ns;
	return 0;
}

static int take_file(const char *path, uint32_t room, struct deny_reload *reload, char *why,
		     size_t why_size)
{
	_cleanup_(deny_rules_free) struct deny_rules rules = { 0 };
	int err = deny_file_read(path, room, &rules, why, why_size);

	for (size_t i = 0; !err && i < rules.n; i++) {
		err = take_rule(&rules.at[i], reload);
		if (err)
			(void)snprintf(why, why_size, "%s:%u: %s", path, rules.at[i].line,
				       err == -ENOSPC ? "no room: raise deny_entries"
						      : strerror(-err));
	}
	return err;
}

int deny_reload_prepare(const struct deny *deny, const char *file, struct deny_reload **ret,
			char *why, size_t why_size)
{
	struct deny_reload *reload = calloc(1, sizeof(*reload));
	int err = reload ? deny_set_new(deny->room, &reload->set) : -ENOMEM;

	if (!err)
		err = take_control(deny->set, reload);
	if (!err && file)
		err = take_file(file, deny->room, reload, why, why_size);
	if (err) {
		deny_reload_abort(reload);
		return err;
	}
	*ret = reload;
	return 0;
}

void deny_reload_abort(struct deny_reload *reload)
{
	if (!reload)
		return;
	deny_set_free(reload->set);
	free(reload);
}

/* ---- commit ---- */

static bool same_end(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a == b;
	return (a > b ? a - b : b - a) < SAME_NS;
}

static bool same(const struct up_deny *a, const struct up_deny *b)
{
	return a->control == b->control && a->file == b->file &&
	       same_end(a->control_until_ns, b->control_until_ns) &&
	       same_end(a->file_until_ns, b->file_until_ns);
}

/* Returns how many the kernel has no room for. */
static size_t put_new(struct kern_deny *kern, const struct deny_set *old_set,
		      const struct deny_set *fresh)
{
	size_t failed = 0;

	for (size_t i = 0; i < deny_set_count(fresh); i++) {
		const struct deny_entry *entry = deny_set_at(fresh, i);
		struct cidr cidr = deny_entry_cidr(entry);
		const struct deny_entry *old = deny_set_find(old_set, &cidr);

		if (!old || !same(&old->said, &entry->said))
			failed += kern_deny_set(kern, entry->ip, &entry->said) != 0;
	}
	return failed;
}

static void remove_old(struct kern_deny *kern, const struct deny_set *old_set,
		       const struct deny_set *fresh)
{
	for (size_t i = 0; i < deny_set_count(old_set); i++) {
		struct cidr cidr = deny_entry_cidr(deny_set_at(old_set, i));

		if (!deny_set_find(fresh, &cidr))
			(void)kern_deny_remove(kern, cidr.ip, cidr.prefix_len);
	}
}

/* First what is new, then what is no more: in no moment less is denied than before and after,
 * where there is room for both. */
void deny_tell_all(struct kern_deny *kern, const struct deny_set *old, const struct deny_set *fresh)
{
	size_t failed = put_new(kern, old, fresh);

	remove_old(kern, old, fresh);
	if (failed)
		failed = put_new(kern, old, fresh);
	if (failed)
		log_error("deny.incomplete entries=%zu reason=\"the kernel has no memory for them: "
			  "inline does not deny them\"",
			  failed);
}

static void keep_hits(const struct deny_set *old, struct deny_set *fresh)
{
	for (size_t i = 0; i < deny_set_count(old); i++) {
		const struct deny_entry *before = deny_set_at(old, i);
		struct cidr cidr = deny_entry_cidr(before);
		struct deny_entry *after = deny_set_find(fresh, &cidr);

		if (after)
			after->said.hits = __atomic_load_n(&before->said.hits, __ATOMIC_RELAXED);
	}
}

void deny_reload_commit(struct deny *deny, struct deny_reload *reload)
{
	struct deny_set *fresh = TAKE_PTR(reload->set), *old = deny->set;

	if (deny->kern)
		deny_tell_all(deny->kern, old, fresh);
	keep_hits(old, fresh);
	(void)pthread_rwlock_wrlock(&deny->lock);
	deny->set = fresh;
	__atomic_store_n(&deny->count, deny_set_count(fresh), __ATOMIC_RELAXED);
	(void)pthread_rwlock_unlock(&deny->lock);
	memcpy(deny->claims, reload->claims, sizeof(deny->claims));
	deny_set_free(old);
	deny_reload_abort(reload);
}
