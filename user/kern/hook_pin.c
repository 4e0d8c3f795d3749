// SPDX-License-Identifier: BSD-2-Clause
/* The address hook's pins: links besides maps, and what is left attached by them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kern/hook_pin.h"
#include "kern/internal.h"

#define ROOT "/sys/fs/bpf/unproxy"
#define INSTANCES_MAX 64

/* The i-th directory of that name. */
static void dir_path(char *buf, size_t size, const char *root, const char *name, int i)
{
	if (i == 0)
		snprintf(buf, size, "%s/%s", root, name);
	else
		snprintf(buf, size, "%s/%s-%d", root, name, i);
}

static int claim_any(const char *root, const char *name, struct pin_dir *ret)
{
	for (int i = 0; i < INSTANCES_MAX; i++) {
		struct pin_dir dir;

		dir_path(dir.path, sizeof(dir.path), root, name, i);
		dir.fd = kern_pin_lock(dir.path, true);
		if (dir.fd >= 0) {
			*ret = dir;
			return i;
		}
		if (dir.fd != -EWOULDBLOCK && dir.fd != -EAGAIN)
			return dir.fd;
	}
	return -EUSERS;
}

int pin_claim(const char *root, const char *name, struct pin_dir *ret)
{
	int err;

	root = kern_pin_root(root, &err);
	if (!err)
		err = claim_any(root, name, ret);
	return err < 0 ? err : 0;
}

int pin_claim_only(const char *root, const char *name, struct pin_dir *ret)
{
	struct pin_dir dir;
	int err;

	root = kern_pin_root(root, &err);
	if (!root)
		return err;
	dir_path(dir.path, sizeof(dir.path), root, name, 0);
	dir.fd = kern_pin_lock(dir.path, true);
	if (dir.fd < 0)
		return dir.fd;
	*ret = dir;
	return 0;
}

int pin_share(const char *path, int fd, struct pin_dir *ret)
{
	struct pin_dir dir = { .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0) };

	if (dir.fd < 0)
		return -errno;
	snprintf(dir.path, sizeof(dir.path), "%s", path);
	*ret = dir;
	return 0;
}

static void detach_pin(const char *dir, const char *name)
{
	char path[sizeof(((struct pin_dir *)0)->path) + NAME_MAX + 2];
	struct bpf_link *link;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	link = bpf_link__open(path);
	if (!link)
		return;
	(void)bpf_link__detach(link); /* refused if it is a map */
	(void)bpf_link__destroy(link);
}

/* Programs end here and now; without their pins alone they would a little later. */
static int detach_all(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			detach_pin(path, entry->d_name);
	}
	(void)closedir(dir);
	return 0;
}

unsigned pin_sweep(const char *root, const char *name)
{
	unsigned n = 0;

	for (int i = 0; i < INSTANCES_MAX; i++) {
		struct pin_dir dir;

		dir_path(dir.path, sizeof(dir.path), root ? root : ROOT, name, i);
		dir.fd = kern_pin_lock(dir.path, false);
		if (dir.fd < 0)
			continue;
		(void)detach_all(dir.path);
		pin_remove(&dir);
		n++;
	}
	return n;
}

int pin_discard(const char *root, const char *name)
{
	struct pin_dir dir;
	int err;

	dir_path(dir.path, sizeof(dir.path), root ? root : ROOT, name, 0);
	err = detach_all(dir.path);
	if (err)
		return err == -ENOENT ? 0 : err;
	dir.fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir.fd < 0)
		return -errno;
	pin_remove(&dir);
	return 0;
}

void pin_remove(struct pin_dir *dir)
{
	char *slash;

	if (dir->fd < 0)
		return;
	kern_pin_empty(dir->fd);
	(void)rmdir(dir->path);
	/* The root too, when we were the last: EBUSY or ENOTEMPTY otherwise. */
	slash = strrchr(dir->path, '/');
	if (slash) {
		*slash = '\0';
		(void)rmdir(dir->path);
		*slash = '/';
	}
	pin_leave(dir);
}

void pin_leave(struct pin_dir *dir)
{
	if (dir->fd >= 0)
		(void)close(dir->fd);
	dir->fd = -1;
}
