// SPDX-License-Identifier: BSD-2-Clause
/* The pinned list of denied clients: kept, taken over, copied to another size, left to others. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "base/cidr.h"
#include "kern/deny.h"

static char root[64];

static int try(uint32_t entries, struct kern_deny **ret)
{
	const struct kern_deny_params params = { .entries = entries, .pin_root = root };
	char why[256] = "";
	int err = kern_deny_open(&params, ret, why, sizeof(why));

	if (err)
		print_message("%s\n", why);
	return err;
}

static struct kern_deny *start(uint32_t entries)
{
	struct kern_deny *deny = NULL;

	assert_int_equal(try(entries, &deny), 0);
	return deny;
}

static struct cidr network(const char *text)
{
	struct cidr cidr;

	assert_null(cidr_parse(text, &cidr));
	return cidr;
}

static int set(struct kern_deny *deny, const char *text, enum up_deny_verdict verdict)
{
	struct cidr cidr = network(text);
	struct up_deny entry = { .control = verdict, .prefix_len = cidr.prefix_len, .hits = 99 };

	return kern_deny_set(deny, cidr.ip, &entry);
}

static int unset(struct kern_deny *deny, const char *text)
{
	struct cidr cidr = network(text);

	return kern_deny_remove(deny, cidr.ip, cidr.prefix_len);
}

static int count_one(void *context, const struct up_deny_key *key, const struct up_deny *entry)
{
	assert_int_equal(key->prefix_len, entry->prefix_len);
	(*(size_t *)context)++;
	return 0;
}

static size_t count(const struct kern_deny *deny)
{
	size_t n = 0;

	assert_int_equal(kern_deny_each(deny, count_one, &n), 0);
	return n;
}

static bool exists(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s%s", root, name);
	return access(path, F_OK) == 0;
}

static void written_and_removed(void **state)
{
	struct kern_deny *deny = start(16);

	assert_true(kern_deny_is_pinned(deny));
	assert_int_equal(count(deny), 0);
	assert_int_equal(set(deny, "192.0.2.0/24", UP_DENY_REFUSE), 0);
	assert_int_equal(set(deny, "192.0.2.0/25", UP_DENY_ALLOW), 0);
	assert_int_equal(set(deny, "192.0.2.0/25", UP_DENY_REFUSE), 0);
	assert_int_equal(set(deny, "::/0", UP_DENY_REFUSE), 0);
	assert_int_equal(count(deny), 3);
	assert_int_equal(unset(deny, "192.0.2.0/26"), -ENOENT);
	assert_int_equal(unset(deny, "192.0.2.0/25"), 0);
	assert_int_equal(count(deny), 2);
	kern_deny_close(deny, false);
	assert_false(exists(""));
}

/* A change of what is said does not take the hits away. */
static void hits(void **state)
{
	struct cidr cidr = network("192.0.2.0/24");
	struct up_deny_key key = { .prefix_len = cidr.prefix_len };
	struct kern_deny *deny = start(16);
	struct up_deny entry;

	memcpy(key.ip, cidr.ip, sizeof(key.ip));
	assert_int_equal(set(deny, "192.0.2.0/24", UP_DENY_REFUSE), 0);
	assert_int_equal(kern_deny_hits(deny, cidr.ip, cidr.prefix_len), 0);
	assert_int_equal(bpf_map_lookup_elem(kern_deny_fd(deny), &key, &entry), 0);
	entry.hits = 7;
	assert_int_equal(bpf_map_update_elem(kern_deny_fd(deny), &key, &entry, 0), 0);
	assert_int_equal(set(deny, "192.0.2.0/24", UP_DENY_ALLOW), 0);
	assert_int_equal(kern_deny_hits(deny, cidr.ip, cidr.prefix_len), 7);
	assert_int_equal(kern_deny_hits(deny, cidr.ip, cidr.prefix_len + 1), 0);
	kern_deny_close(deny, false);
}

static void full(void **state)
{
	struct kern_deny *deny = start(2);

	assert_int_equal(set(deny, "192.0.2.1", UP_DENY_REFUSE), 0);
	assert_int_equal(set(deny, "192.0.2.2", UP_DENY_REFUSE), 0);
	assert_int_equal(set(deny, "192.0.2.3", UP_DENY_REFUSE), -ENOSPC);
	assert_int_equal(set(deny, "192.0.2.2", UP_DENY_ALLOW), 0);
	kern_deny_close(deny, false);
}

static void fill(struct kern_deny *deny, int n)
{
	char text[64];

	for (int i = 0; i < n; i++) {
		(void)snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
		assert_int_equal(set(deny, text, UP_DENY_REFUSE), 0);
	}
}

static void taken_over(void **state)
{
	struct kern_deny *deny = start(5000);

	fill(deny, 3000);
	kern_deny_close(deny, true);
	assert_true(exists("/deny/list"));
	deny = start(5000);
	assert_int_equal(count(deny), 3000);
	assert_int_equal(unset(deny, "10.0.1.1"), 0);
	kern_deny_close(deny, true);

	/* Room for more, and for less. */
	deny = start(9000);
	assert_int_equal(count(deny), 2999);
	kern_deny_close(deny, true);
	deny = start(2999);
	assert_int_equal(count(deny), 2999);
	assert_int_equal(set(deny, "192.0.2.3", UP_DENY_REFUSE), -ENOSPC);
	kern_deny_close(deny, true);
	deny = NULL;
	assert_int_equal(try(2998, &deny), -ENOSPC);
	assert_null(deny);
	deny = start(2999); /* nothing was lost by it */
	assert_int_equal(count(deny), 2999);
	kern_deny_close(deny, false);
}

static void one_has_the_pin(void **state)
{
	struct kern_deny *first = start(16), *second = start(16);

	assert_true(kern_deny_is_pinned(first));
	assert_false(kern_deny_is_pinned(second));
	assert_int_equal(set(first, "192.0.2.1", UP_DENY_REFUSE), 0);
	assert_int_equal(count(second), 0);
	assert_int_equal(set(second, "192.0.2.2", UP_DENY_REFUSE), 0);
	assert_int_equal(count(second), 1);
	kern_deny_close(second, false);
	kern_deny_sweep(root);
	assert_true(exists("/deny/list"));
	kern_deny_close(first, true);
	kern_deny_sweep(root);
	assert_false(exists("/deny"));
}

/* The programs of a dead daemon obey it. */
static void programs_stay(void **state)
{
	struct kern_deny *deny = start(16);
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/inline", root);
	assert_int_equal(mkdir(path, 0700), 0);
	kern_deny_close(deny, false);
	assert_true(exists("/deny/list"));
	assert_int_equal(rmdir(path), 0);
	kern_deny_close(start(16), false);
	assert_false(exists("/deny"));
}

static int take_back(struct kern_deny *deny)
{
	char why[256] = "";
	int err = kern_deny_take_back(deny, root, why, sizeof(why));

	if (err)
		print_message("%s\n", why);
	return err;
}

/* To another daemon, which does not come to anything: it left the list alone, replaced it by a
 * larger one, or took it away. Nothing can be loaded by then. */
static void let_go_and_taken_back(void **state)
{
	struct kern_deny *deny = start(16), *guest;

	(void)state;
	assert_int_equal(set(deny, "192.0.2.0/24", UP_DENY_REFUSE), 0);
	kern_deny_let_go(deny);
	assert_false(kern_deny_is_pinned(deny));
	guest = start(16);
	assert_true(kern_deny_is_pinned(guest));
	assert_int_equal(take_back(deny), 0);
	assert_false(kern_deny_is_pinned(deny)); /* it is not dead yet */
	kern_deny_close(guest, true);
	assert_int_equal(take_back(deny), 0);
	assert_true(kern_deny_is_pinned(deny));
	assert_int_equal(count(deny), 1);

	kern_deny_let_go(deny);
	guest = start(32);
	assert_int_equal(set(guest, "198.51.100.1", UP_DENY_REFUSE), 0);
	kern_deny_close(guest, true);
	assert_int_equal(take_back(deny), 0);
	assert_int_equal(count(deny), 2);

	kern_deny_let_go(deny);
	guest = start(32);
	kern_deny_close(guest, false);
	assert_false(exists("/deny/list"));
	assert_int_equal(take_back(deny), 0);
	assert_true(exists("/deny/list"));
	assert_int_equal(count(deny), 2);
	kern_deny_close(deny, false);
	assert_false(exists(""));
}

static int set_up(void **state)
{
	(void)snprintf(root, sizeof(root), "/sys/fs/bpf/unproxy-deny-%d", getpid());
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_and_removed),
		cmocka_unit_test(hits),
		cmocka_unit_test(full),
		cmocka_unit_test(taken_over),
		cmocka_unit_test(one_has_the_pin),
		cmocka_unit_test(programs_stay),
		cmocka_unit_test(let_go_and_taken_back),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
