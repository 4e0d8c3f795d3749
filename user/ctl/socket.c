// SPDX-License-Identifier: BSD-2-Clause
/*
 * Making the socket so that nobody is ever without one, or in front of somebody else's: all
 * is made under another name and put in place by rename(2), one daemon at a time (the
 * directory is locked meanwhile).
 */
#include "ctl/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/socket.h"

#define BACKLOG 64
#define DIRECTORY_MODE 0755

static int fail(char *why, size_t size, const char *what, const char *path, int err)
{
	(void)snprintf(why, size, "%s%.128s: %s", what, path, strerror(-err));
	return err;
}

/* The path's directory, made if need be, and locked until it is closed. */
static int lock_directory(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int fd = -1;
	const char *directory;

	if (!copy)
		return -ENOMEM;
	directory = dirname(copy);
	if (mkdir(directory, DIRECTORY_MODE) < 0 && errno != EEXIST)
		return -errno;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return -errno;
	return take_fd(&fd);
}

/* 0: nothing is there, or what a dead daemon left. -EADDRINUSE: a daemon answers. */
static int check_place(const char *path, int type)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un sa;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)socket_path(path, &sa);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	return errno == ECONNREFUSED ? 0 : -errno;
}

/* The mode is the socket's own before it has a name: there is no moment with a wider one. */
static int bind_at(int fd, const char *path, gid_t gid)
{
	struct sockaddr_un sa;
	int err = socket_path(path, &sa);

	if (err)
		return err;
	(void)unlink(path);
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	if (gid && (chown(path, (uid_t)-1, gid) < 0 || chmod(path, 0660) < 0))
		return -errno;
	return 0;
}

/* Who may use it may have changed. */
static int set_group(const char *path, const struct stat *st, gid_t gid)
{
	if (st->st_gid == gid || (!gid && !(st->st_mode & 0060)))
		return 0;
	if (chown(path, (uid_t)-1, gid) < 0 || chmod(path, gid ? 0660 : 0600) < 0)
		return -errno;
	return 0;
}

/* 0 or -ENOENT: somebody has removed the file, and the socket is closed. Where we may not look any more
 * it is not ours to remove. A group that cannot be set is told, and stays as it was. */
static int take(const struct ctl_place *place, struct ctl_socket *ret, char *why, size_t why_size)
{
	_cleanup_close_ int fd = place->taken;
	struct stat st = { 0 };
	bool seen = lstat(place->path, &st) == 0;
	int err = 0;

	if (!seen && errno == ENOENT)
		return -ENOENT;
	if (seen)
		err = set_group(place->path, &st, place->gid);
	if (err)
		(void)fail(why, why_size, "the group of ", place->path, err);
	*ret = (struct ctl_socket){ .fd = take_fd(&fd), .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

int ctl_socket_open(const struct ctl_place *place, struct ctl_socket *ret, char *why,
		    size_t why_size)
{
	const char *path = place->path;
	_cleanup_close_ int lock = -1, fd = -1;
	_cleanup_free_ char *fresh = NULL;
	struct stat st;
	int err;

	if (place->taken >= 0 && take(place, ret, why, why_size) == 0)
		return 0;
	lock = lock_directory(path);
	if (lock < 0)
		return fail(why, why_size, "the directory of ", path, lock);
	err = check_place(path, place->type);
	if (err == -EADDRINUSE)
		(void)snprintf(why, why_size, "another daemon answers at %.128s", path);
	else if (err)
		(void)fail(why, why_size, "", path, err);
	if (err)
		return err;
	if (asprintf(&fresh, "%s.new", path) < 0)
		return -ENOMEM;
	fd = socket(AF_UNIX, place->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	err = fd < 0 ? -errno : bind_at(fd, fresh, place->gid);
	if (err)
		return fail(why, why_size, "", fresh, err);
	if (lstat(fresh, &st) < 0 || rename(fresh, path) < 0) {
		err = -errno;
		(void)unlink(fresh);
		return fail(why, why_size, "", path, err);
	}
	*ret = (struct ctl_socket){ .fd = take_fd(&fd), .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

void ctl_socket_close(struct ctl_socket *socket, const char *path)
{
	_cleanup_close_ int lock = -1;
	struct stat st;

	if (socket->fd < 0)
		return;
	lock = lock_directory(path);
	if (lock >= 0 && lstat(path, &st) == 0 && st.st_dev == socket->dev &&
	    st.st_ino == socket->ino)
		(void)unlink(path);
	(void)close(socket->fd);
	socket->fd = -1;
}

void ctl_socket_let_go(struct ctl_socket *socket)
{
	cleanup_close(&socket->fd);
	socket->fd = -1;
}
