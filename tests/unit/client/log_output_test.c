/* SPDX-License-Identifier: BSD-2-Clause */
/* The log's file: short writes, full disks, slow readers, rotation. Whole lines in order, or none. */
/* LDFLAGS: -Wl,--wrap=write */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "client/log_output.h"

static char directory[] = "/tmp/unproxy-output-test-XXXXXX";
static char path[64], rotated[64];

static int write_error;      /* what the next writes fail with */
static size_t write_at_most; /* they are short */
static int n_writes;
static char said[4096]; /* on stderr */

ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	if (fd == STDERR_FILENO) {
		(void)snprintf(said + strlen(said), sizeof(said) - strlen(said), "%.*s", (int)len,
			       (const char *)buf);
		return (ssize_t)len;
	}
	n_writes++;
	if (write_error == -1)
		return 0;
	if (write_error) {
		errno = write_error;
		if (write_error == EINTR)
			write_error = 0;
		return -1;
	}
	if (write_at_most > 0 && len > write_at_most) {
		len = write_at_most;
		write_error = ENOSPC; /* as a disk does: a part, then nothing */
	}
	return __real_write(fd, buf, len);
}

static void close_output(struct log_output **output)
{
	log_output_close(*output);
}

#define _cleanup_output_ _cleanup_(close_output)

static struct log_output *open_output(void)
{
	struct log_output *output;

	assert_int_equal(log_output_open(path, &output), 0);
	return output;
}

/* ... again, and all that waits is written. */
static void the_disk_has_room(struct log_output *output)
{
	write_error = 0;
	write_at_most = 0;
	assert_int_equal(log_output_flush(output), 0);
}

static bool put(struct log_output *output, const char *line)
{
	size_t len = strlen(line);
	char *at = log_output_reserve(output, len);

	if (!at)
		return false;
	memcpy(at, line, len);
	log_output_commit(output, len);
	return true;
}

static void assert_file(const char *name, const char *expect)
{
	char buf[4096];
	int fd = open(name, O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	assert_true(fd >= 0 && n >= 0);
	buf[n] = '\0';
	(void)close(fd);
	assert_string_equal(buf, expect);
}

static int setup(void **state)
{
	write_error = 0;
	write_at_most = 0;
	n_writes = 0;
	said[0] = '\0';
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/log", directory);
	(void)snprintf(rotated, sizeof(rotated), "%s/log.1", directory);
	return 0;
}

static int teardown(void **state)
{
	(void)unlink(path);
	(void)unlink(rotated);
	return rmdir(directory);
}

static void lines_go_out_together(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();
	struct stat st;

	assert_true(put(output, "a\n"));
	assert_true(put(output, "b\n"));
	assert_int_equal(log_output_lines(output), 2);
	assert_file(path, "");
	assert_int_equal(log_output_flush(output), 0);
	assert_file(path, "a\nb\n");
	assert_int_equal(n_writes, 1);
	assert_int_equal(log_output_lines(output), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777 & ~0640, 0);
	assert_string_equal(said, "");
}

static void an_existing_file_is_continued(void **state)
{
	for (int i = 0; i < 2; i++) {
		_cleanup_output_ struct log_output *output = open_output();

		assert_true(put(output, "x\n"));
		assert_int_equal(log_output_flush(output), 0);
	}
	assert_file(path, "x\nx\n");
}

static void no_such_directory(void **state)
{
	struct log_output *output = NULL;

	assert_int_equal(log_output_open("/nonexistent/log", &output), -ENOENT);
	assert_int_equal(log_output_open(directory, &output), -EISDIR);
	assert_null(output);
	log_output_close(NULL);
}

static void an_interrupted_write_is_repeated(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();

	assert_true(put(output, "a\n"));
	write_error = EINTR;
	assert_int_equal(log_output_flush(output), 0);
	assert_file(path, "a\n");
	assert_string_equal(said, "");
}

static void a_full_disk_is_said_once_and_waited_for(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();
	char expect[200];

	assert_true(put(output, "first\n"));
	assert_true(put(output, "second\n"));
	write_at_most = 8;
	for (int i = 0; i < 5; i++)
		assert_int_equal(log_output_flush(output), -ENOSPC);
	(void)snprintf(expect, sizeof(expect),
		       "error: client_log.write_failed path=\"%s\" error=\"No space left on "
		       "device\", holding lines back\n",
		       path);
	assert_string_equal(said, expect);
	assert_file(path, "first\nse");
	assert_int_equal(log_output_lines(output), 1);

	said[0] = '\0';
	write_error = 0;
	write_at_most = 0;
	assert_true(put(output, "third\n"));
	assert_int_equal(log_output_flush(output), 0);
	assert_file(path, "first\nsecond\nthird\n");
	(void)snprintf(expect, sizeof(expect), "info: client_log.write_recovered path=\"%s\"\n",
		       path);
	assert_string_equal(said, expect);
}

static void a_write_of_nothing_is_a_failure(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();

	assert_true(put(output, "a\n"));
	write_error = -1;
	assert_int_equal(log_output_flush(output), -ENOSPC);
}

static void what_is_held_back_is_bounded(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();
	char line[1001];
	int n = 0;

	memset(line, 'x', 1000);
	line[999] = '\n';
	line[1000] = '\0';
	write_error = EIO;
	while (put(output, line))
		assert_true(++n < 2000);
	assert_in_range(n, 1000, 1100);
	assert_int_equal(log_output_lines(output), n);
	assert_false(put(output, line));

	write_error = 0;
	assert_true(put(output, line));
	assert_int_equal(log_output_flush(output), 0);
	assert_int_equal(log_output_lines(output), 0);
}

static void room_is_found_behind_a_short_write(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();
	char line[1001];
	struct stat st;
	int n = 0;

	memset(line, 'x', 1000);
	line[999] = '\n';
	line[1000] = '\0';
	write_error = EIO;
	while (put(output, line))
		n++;
	for (int i = 0; i < 10; i++, n++) {
		write_error = 0;
		write_at_most = 1500;
		assert_true(put(output, line));
	}
	the_disk_has_room(output);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1000 * n);
}

static void rotation(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();

	assert_true(put(output, "old\n"));
	assert_int_equal(log_output_flush(output), 0);
	assert_int_equal(rename(path, rotated), 0);
	assert_true(put(output, "late\n"));
	assert_int_equal(log_output_flush(output), 0);
	assert_int_equal(log_output_reopen(output), 0);
	assert_true(put(output, "new\n"));
	assert_int_equal(log_output_flush(output), 0);
	assert_file(rotated, "old\nlate\n");
	assert_file(path, "new\n");
}

static void rotation_failed(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(log_output_reopen(output), -EISDIR);
	assert_non_null(strstr(said, "error: client_log.reopen_failed path="));
	assert_true(put(output, "still\n"));
	assert_int_equal(log_output_flush(output), 0);
	assert_int_equal(rmdir(path), 0);
}

/* Half a line in the old file: the other half does not begin the new one. */
static void no_torn_line_in_a_new_file(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();

	assert_true(put(output, "first\n"));
	assert_true(put(output, "second\n"));
	assert_true(put(output, "third\n"));
	write_at_most = 8;
	assert_int_equal(log_output_flush(output), -ENOSPC);
	assert_int_equal(rename(path, rotated), 0);
	assert_int_equal(log_output_reopen(output), 0);
	assert_non_null(strstr(said, "warn: client_log.lost lines=1"));
	assert_int_equal(log_output_torn(output), 1);
	the_disk_has_room(output);
	assert_file(rotated, "first\nse");
	assert_file(path, "third\n");
}

/* Reopened, and not rotated: the other half goes where the first is. */
static void a_torn_line_is_ended_in_its_own_file(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();

	assert_true(put(output, "first\n"));
	assert_true(put(output, "second\n"));
	assert_true(put(output, "third\n"));
	write_at_most = 8;
	assert_int_equal(log_output_flush(output), -ENOSPC);
	assert_int_equal(log_output_reopen(output), 0);
	assert_null(strstr(said, "client_log.lost"));
	assert_int_equal(log_output_torn(output), 0);
	the_disk_has_room(output);
	assert_file(path, "first\nsecond\nthird\n");
}

/* Copied and cut to nothing: its first half is in the copy. */
static void no_torn_line_in_a_file_cut_to_nothing(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();

	assert_true(put(output, "second\n"));
	assert_true(put(output, "third\n"));
	write_at_most = 3;
	assert_int_equal(log_output_flush(output), -ENOSPC);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(log_output_reopen(output), 0);
	assert_int_equal(log_output_torn(output), 1);
	the_disk_has_room(output);
	assert_file(path, "third\n");
}

/* What another process could not end is no head of ours; the end of a line waits for room, too. */
static void a_line_that_another_left_torn(void **state)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT, 0640);
	struct log_output *output;

	assert_int_equal(write(fd, "{\"tor", 5), 5);
	output = open_output();
	assert_true(put(output, "first\n"));
	write_error = ENOSPC;
	assert_int_equal(log_output_flush(output), -ENOSPC);
	assert_int_equal(log_output_reopen(output), 0);
	the_disk_has_room(output);
	log_output_close(output);
	assert_file(path, "{\"tor\nfirst\n");
}

/* Between two lines nothing is torn. */
static void whole_lines_move_to_a_new_file(void **state)
{
	_cleanup_output_ struct log_output *output = open_output();

	assert_true(put(output, "first\n"));
	assert_true(put(output, "second\n"));
	write_at_most = 6;
	assert_int_equal(log_output_flush(output), -ENOSPC);
	assert_int_equal(rename(path, rotated), 0);
	assert_int_equal(log_output_reopen(output), 0);
	the_disk_has_room(output);
	assert_file(rotated, "first\n");
	assert_file(path, "second\n");
}

/* stdout is a pipe that blocks, and we may not change that: it must not block us all the same. */
static void a_slow_reader_of_stdout(void **state)
{
	struct log_output *output;
	int saved = dup(STDOUT_FILENO), fds[2], n = 0;
	char line[1001], buf[4096];
	size_t written = 0, got = 0;
	ssize_t r;

	memset(line, 'x', 1000);
	line[999] = '\n';
	line[1000] = '\0';
	assert_int_equal(pipe(fds), 0);
	(void)fflush(stdout);
	assert_true(dup2(fds[1], STDOUT_FILENO) >= 0);
	assert_int_equal(log_output_open("-", &output), 0);
	for (; n < 200; n++)
		written += put(output, line) ? 1000 : 0;
	r = log_output_flush(output);
	assert_int_equal(log_output_reopen(output), 0);

	while (written > got && (log_output_flush(output), true)) {
		ssize_t m = read(fds[0], buf, sizeof(buf));

		if (m <= 0)
			break;
		got += (size_t)m;
	}
	n = log_output_flush(output);
	log_output_close(output);
	(void)dup2(saved, STDOUT_FILENO);
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(n, 0);
	assert_int_equal(got, 200 * 1000);
	assert_string_equal(said, "");
	(void)close(saved);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void a_reader_of_stdout_that_has_gone(void **state)
{
	struct log_output *output;
	int saved = dup(STDOUT_FILENO), fds[2], r;

	(void)signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	(void)close(fds[0]);
	(void)fflush(stdout);
	assert_true(dup2(fds[1], STDOUT_FILENO) >= 0);
	assert_int_equal(log_output_open("-", &output), 0);
	(void)put(output, "a\n");
	r = log_output_flush(output);
	log_output_close(output);
	(void)dup2(saved, STDOUT_FILENO);
	assert_int_equal(r, -EPIPE);
	assert_string_equal(said, "error: client_log.write_failed path=\"stdout\" error=\"Broken "
				  "pipe\", holding lines back\n");
	(void)close(saved);
	(void)close(fds[1]);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(lines_go_out_together),
		test(an_existing_file_is_continued),
		test(no_such_directory),
		test(an_interrupted_write_is_repeated),
		test(a_full_disk_is_said_once_and_waited_for),
		test(a_write_of_nothing_is_a_failure),
		test(what_is_held_back_is_bounded),
		test(room_is_found_behind_a_short_write),
		test(rotation),
		test(rotation_failed),
		test(no_torn_line_in_a_new_file),
		test(a_torn_line_is_ended_in_its_own_file),
		test(no_torn_line_in_a_file_cut_to_nothing),
		test(a_line_that_another_left_torn),
		test(whole_lines_move_to_a_new_file),
		test(a_slow_reader_of_stdout),
		test(a_reader_of_stdout_that_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
