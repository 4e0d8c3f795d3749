/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's log: one write a line, levels, nothing forged, journald's prefix on its own stream alone. */
/* LDFLAGS: -Wl,--wrap=write -Wl,--wrap=fstat */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "obs/log.h"

static char written[8192];
static size_t written_len;
static int n_writes, write_error;

ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	if (fd != STDERR_FILENO)
		return __real_write(fd, buf, len);
	n_writes++;
	if (write_error) {
		errno = write_error;
		return -1;
	}
	assert_true(len < sizeof(written));
	memcpy(written, buf, len);
	written[len] = '\0';
	written_len = len;
	return (ssize_t)len;
}

int __wrap_fstat(int fd, struct stat *st)
{
	if (fd != STDERR_FILENO)
		return __real_fstat(fd, st);
	*st = (struct stat){ .st_dev = 8, .st_ino = 4711 };
	return 0;
}

static int reset(void **state)
{
	(void)unsetenv("JOURNAL_STREAM");
	log_set_level(LOG_LEVEL_INFO);
	n_writes = write_error = 0;
	written[0] = '\0';
	return 0;
}

static void one_write_a_line(void **state)
{
	log_info("listener.ready name=%s port=%d", "web", 80);
	assert_string_equal(written, "info: listener.ready name=web port=80\n");
	assert_int_equal(n_writes, 1);
}

static void levels(void **state)
{
	log_debug("not.shown");
	assert_int_equal(n_writes, 0);
	log_warn("shown");
	assert_string_equal(written, "warn: shown\n");
	log_error("shown");
	assert_string_equal(written, "error: shown\n");

	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("shown");
	assert_string_equal(written, "debug: shown\n");
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("not.shown");
	assert_int_equal(n_writes, 3);
}

static void no_value_forges_a_line(void **state)
{
	log_info("a.b name=\"%s\"", "x\ny\r\t\x1b[31m\x7f");
	assert_string_equal(written, "info: a.b name=\"x\\x0ay\\x0d\\x09\\x1b[31m\\x7f\"\n");
	log_info("umlaut=\xc3\xa4");
	assert_string_equal(written, "info: umlaut=\xc3\xa4\n");
}

static void long_lines_are_cut(void **state)
{
	char text[3000];

	memset(text, '\n', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	assert_int_equal(written_len, 6 + 1023 * 4 + 1);
	assert_int_equal(written[written_len - 1], '\n');
}

static void journal_prefix(void **state)
{
	(void)setenv("JOURNAL_STREAM", "8:4711", 1);
	log_error("a");
	assert_string_equal(written, "<3>a\n");
	log_warn("a");
	assert_string_equal(written, "<4>a\n");
	log_info("a");
	assert_string_equal(written, "<6>a\n");
}

static void journal_of_another_stream(void **state)
{
	(void)setenv("JOURNAL_STREAM", "8:4712", 1);
	log_info("a");
	assert_string_equal(written, "info: a\n");
	(void)setenv("JOURNAL_STREAM", "rubbish", 1);
	log_info("b");
	assert_string_equal(written, "info: b\n");
}

static void a_broken_stderr_is_no_error(void **state)
{
	write_error = EPIPE;
	errno = EAGAIN;
	log_info("a");
	assert_int_equal(n_writes, 1);
	assert_int_equal(errno, EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_write_a_line, reset),
		cmocka_unit_test_setup(levels, reset),
		cmocka_unit_test_setup(no_value_forges_a_line, reset),
		cmocka_unit_test_setup(long_lines_are_cut, reset),
		cmocka_unit_test_setup(journal_prefix, reset),
		cmocka_unit_test_setup(journal_of_another_stream, reset),
		cmocka_unit_test_setup(a_broken_stderr_is_no_error, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
