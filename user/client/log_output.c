/* SPDX-License-Identifier: BSD-2-Clause */
/* The client log's file: written without waiting, reopened, and patient with a full disk. */
#include "client/log_output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "obs/log.h"

/* The longest line there is, that of 64 KiB of TLVs each byte of which is escaped, and
 * enough beside it for large writes. */
#define BUFFER_SIZE (1u << 20)
#define WRITE_SIZE \
	(128u << 10) /* large enough for the call not to matter, and still in the cache */

struct log_output {
	char *path; /* NULL: stdout */
	char *buf;
	size_t from, to; /* what is not yet written */
	size_t chunk;    /* at most so much a write */
	bool may_block;  /* a pipe, socket or terminal */
	bool failing;    /* the last write failed, and it has been said */
	bool unended;    /* the file ends in a part of a line that is not ours */
	uint64_t torn;
	int fd; /* owned unless it is stdout */
};

static void close_output(struct log_output **output)
{
	log_output_close(*output);
}

/* O_NONBLOCK: a FIFO nobody reads must not hold up the start. It has no meaning for files. */
static int open_path(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		      0640);

	return fd < 0 ? -errno : fd;
}

/* stdout is shared with whoever started us, so O_NONBLOCK is not ours to set. A pipe that
 * polls as writable takes PIPE_BUF bytes without blocking; sockets and terminals take more. */
static void look_at(struct log_output *output)
{
	struct stat st;

	output->may_block = fstat(output->fd, &st) == 0 && !S_ISREG(st.st_mode);
	output->chunk = output->may_block ? PIPE_BUF : BUFFER_SIZE;
}

/* A process that died while the disk was full: its line gets no other half. */
static bool ends_in_a_part(const struct log_output *output)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	char last;

	if (output->may_block || !output->path || fstat(output->fd, &st) < 0 || !st.st_size)
		return false;
	fd = open(output->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd >= 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

int log_output_open(const char *path, struct log_output **ret)
{
	_cleanup_(close_output) struct log_output *output = calloc(1, sizeof(*output));

	if (!output)
		return -ENOMEM;
	output->fd = STDOUT_FILENO;
	output->buf = malloc(BUFFER_SIZE);
	if (!output->buf)
		return -ENOMEM;
	if (strcmp(path, "-") != 0) {
		output->path = strdup(path);
		if (!output->path)
			return -ENOMEM;
		output->fd = open_path(path);
		if (output->fd < 0)
			return output->fd;
	}
	look_at(output);
	output->unended = ends_in_a_part(output);
	*ret = TAKE_PTR(output);
	return 0;
}

void log_output_close(struct log_output *output)
{
	if (!output)
		return;
	if (output->path && output->fd >= 0)
		(void)close(output->fd);
	free(output->path);
	free(output->buf);
	free(output);
}

void log_output_give(struct log_output *output, uid_t uid, gid_t gid)
{
	if (output->path && !output->may_block)
		(void)!fchown(output->fd, uid, gid);
}

static const char *name_of(const struct log_output *output)
{
	return output->path ? output->path : "stdout";
}

/* A line whose head went into the old file must not leave its tail at the head of the new one. */
static bool drop_torn_line(struct log_output *output)
{
	const char *end;

	if (output->from == 0 || output->from == output->to ||
	    output->buf[output->from - 1] == '\n')
		return false;
	end = memchr(output->buf + output->from, '\n', output->to - output->from);
	output->from = end ? (size_t)(end + 1 - output->buf) : output->to;
	return true;
}

/* Not rotated: the file in use, with what we wrote into it. */
static bool goes_on(const struct log_output *output, int fd)
{
	struct stat old, new;

	return fstat(output->fd, &old) == 0 && fstat(fd, &new) == 0 &&
	       old.st_dev == new.st_dev &&old.st_ino == new.st_ino &&
	       (!S_ISREG(new.st_mode) || new.st_size > 0);
}

static void begin_file(struct log_output *output)
{
	look_at(output);
	output->unended = ends_in_a_part(output);
	if (!drop_torn_line(output))
		return;
	output->torn++;
	log_warn("client_log.lost lines=1, its head is in the old file");
}

int log_output_reopen(struct log_output *output)
{
	bool same;
	int fd;

	if (!output->path)
		return 0;
	fd = open_path(output->path);
	if (fd < 0) {
		log_error("client_log.reopen_failed path=\"%s\" error=\"%s\", going on with the "
			  "old file",
			  output->path, strerror(-fd));
		return fd;
	}
	same = goes_on(output, fd);
	(void)close(output->fd);
	output->fd = fd;
	if (!same)
		begin_file(output);
	log_info("client_log.reopened path=\"%s\"", output->path);
	return 0;
}

uint64_t log_output_torn(const struct log_output *output)
{
	return output->torn;
}

/* Move what is left to the front. A torn line keeps the byte before it, which says so. */
static void make_room(struct log_output *output)
{
	size_t keep = output->from > 0 ? output->from - 1 : 0;

	memmove(output->buf, output->buf + keep, output->to - keep);
	output->from -= keep;
	output->to -= keep;
}

char *log_output_reserve(struct log_output *output, size_t size)
{
	if (BUFFER_SIZE - output->to < size || output->to - output->from >= WRITE_SIZE)
		(void)log_output_flush(output);
	if (BUFFER_SIZE - output->to < size)
		make_room(output);
	if (BUFFER_SIZE - output->to < size)
		return NULL;
	return output->buf + output->to;
}

void log_output_commit(struct log_output *output, size_t len)
{
	output->to += len;
}

static bool is_writable(const struct log_output *output)
{
	struct pollfd pfd = { .fd = output->fd, .events = POLLOUT };

	return !output->may_block || poll(&pfd, 1, 0) > 0;
}

/* One write. Returns 0 or -errno. */
static int write_some(struct log_output *output)
{
	size_t len = output->to - output->from;
	ssize_t n;

	if (!is_writable(output))
		return -EAGAIN;
	if (output->unended)
		n = write(output->fd, "\n", 1);
	else
		n = write(output->fd, output->buf + output->from,
			  len < output->chunk ? len : output->chunk);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (!output->unended)
		output->from += (size_t)n;
	else if (n > 0)
		output->unended = false;
	return n > 0 ? 0 : -ENOSPC; /* a device that takes nothing and says nothing */
}

static void note_result(struct log_output *output, int err)
{
	bool failing = err < 0 && err != -EAGAIN;

	if (failing && !output->failing)
		log_error("client_log.write_failed path=\"%s\" error=\"%s\", holding lines back",
			  name_of(output), strerror(-err));
	/* A slow reader says nothing about a broken file: only a full flush ends the failure. */
	if (err == 0 && output->failing)
		log_info("client_log.write_recovered path=\"%s\"", name_of(output));
	output->failing = failing || (output->failing && err == -EAGAIN);
}

int log_output_flush(struct log_output *output)
{
	int r = 0;

	while (r == 0 && output->from < output->to)
		r = write_some(output);
	note_result(output, r);
	if (output->from == output->to)
		output->from = output->to = 0;
	return r;
}

uint64_t log_output_lines(const struct log_output *output)
{
	uint64_t lines = 0;

	for (size_t i = output->from; i < output->to; i++)
		lines += output->buf[i] == '\n';
	return lines;
}

int log_output_fd(const struct log_output *output)
{
	return output->fd;
}
