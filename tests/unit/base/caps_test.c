/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities as text, and giving them up: as root really, as anybody else without an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/caps.h"

static void text(void **state)
{
	char buf[CAPS_TEXT_MAX], all[CAPS_TEXT_MAX + 1], small[8];

	caps_text(0, buf, sizeof(buf));
	assert_string_equal(buf, "none");
	caps_text(CAPS_BIT(CAP_NET_BIND_SERVICE) | CAPS_BIT(CAP_NET_ADMIN) | CAPS_BIT(CAP_BPF), buf,
		  sizeof(buf));
	assert_string_equal(buf, "net_bind_service,net_admin,bpf");
	memset(all, 'x', sizeof(all));
	caps_text(~UINT64_C(0), all, CAPS_TEXT_MAX);
	assert_true(strlen(all) < CAPS_TEXT_MAX - 1); /* whole */
	assert_non_null(strstr(all, "checkpoint_restore"));
	caps_text(~UINT64_C(0), small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
}

/* In a child: the parent keeps its own. Returns the exit code. */
static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int keep_one(void)
{
	caps_set before = caps_held(), one = CAPS_BIT(CAP_NET_BIND_SERVICE);

	if (caps_keep(one) || caps_held() != (before & one))
		return 1;
	/* What is gone does not come back. */
	if (caps_keep(before) || caps_held() != (before & one))
		return 2;
	return caps_keep(0) || caps_held() != 0 ? 3 : 0;
}

static void kept(void **state)
{
	assert_int_equal(in_child(keep_one), 0);
}

static int become_nobody(void)
{
	caps_set one = CAPS_BIT(CAP_NET_ADMIN);
	bool may = caps_held() & CAPS_BIT(CAP_SETUID) && caps_held() & CAPS_BIT(CAP_SETGID);
	caps_set before = caps_held();
	int err = caps_keep_as(one, 65534, 65533);

	if (!may)
		return err ? 0 : 1;
	if (err || getuid() != 65534 || geteuid() != 65534 || getgid() != 65533)
		return 2;
	return getgroups(0, NULL) > 0 || caps_held() != (before & one) ? 3 : 0;
}

static void another_user(void **state)
{
	assert_int_equal(in_child(become_nobody), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text),
		cmocka_unit_test(kept),
		cmocka_unit_test(another_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
