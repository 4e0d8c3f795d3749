// SPDX-License-Identifier: BSD-2-Clause
/* Whose pins are removed, and whose stay: by the lock of their directory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "kern/internal.h"
#include "kern/kern.h"

#define ROOT "/sys/fs/bpf/unproxy-pins-test"

/* What an instance has there; killed, it leaves it unlocked. Returns the lock. */
static int another(const char *name)
{
	_cleanup_close_ int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "stats", 4, 8, 1, NULL);
	char path[128], pin[160];
	int fd, err;

	assert_non_null(kern_pin_root(ROOT, &err));
	(void)snprintf(path, sizeof(path), "%s/%s", ROOT, name);
	(void)snprintf(pin, sizeof(pin), "%s/stats", path);
	fd = kern_pin_lock(path, true);
	assert_return_code(fd, -fd);
	assert_return_code(map, errno);
	assert_return_code(bpf_obj_pin(map, pin), errno);
	return fd;
}

static void killed(const char *name)
{
	(void)close(another(name));
}

static bool is_there(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", ROOT, name);
	return access(path, F_OK) == 0;
}

static void those_of_the_killed_go(void **state)
{
	_cleanup_close_ int living = another("relay-1");

	killed("relay");
	killed("relay-3");
	assert_int_equal(kern_sweep(ROOT), 2);
	assert_false(is_there("relay"));
	assert_true(is_there("relay-1/stats"));
	assert_false(is_there("relay-3"));
	cleanup_close(&living);
	assert_int_equal(kern_sweep(ROOT), 1);
	assert_int_equal(kern_sweep(ROOT), 0);
	assert_int_equal(access(ROOT, F_OK), -1);
}

static void the_next_start_removes_them(void **state)
{
	const struct kern_params params = {
		.workers = 1, .slots = 64, .shown = 64, .pin_root = ROOT
	};
	_cleanup_close_ int living = another("relay-2");
	struct kern *kern = NULL;
	char why[256] = "";

	killed("relay");
	killed("relay-1");
	killed("relay-3");
	if (kern_open(&params, &kern, why, sizeof(why)))
		fail_msg("%s", why);
	assert_string_equal(kern_pin_path(kern), ROOT "/relay");
	assert_true(is_there("relay/stats"));
	assert_false(is_there("relay-1"));
	assert_true(is_there("relay-2/stats"));
	assert_false(is_there("relay-3"));
	kern_close(kern);
	cleanup_close(&living);
	assert_int_equal(kern_sweep(ROOT), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_of_the_killed_go),
		cmocka_unit_test(the_next_start_removes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
