// SPDX-License-Identifier: BSD-2-Clause
#include "kern/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/cleanup.h"

/* "36 35 0:30 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw" -> mount point. */
static bool parse_mount(char *line, char *ret, size_t size)
{
	char *rest = strstr(line, " - cgroup2 ");
	char point[256];

	if (!rest || sscanf(line, "%*s %*s %*s %*s %255s", point) != 1)
		return false;
	return (size_t)snprintf(ret, size, "%s", point) < size;
}

/* Something else may be mounted over it. */
static int open_root(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	return fs.f_type == CGROUP2_SUPER_MAGIC ? take_fd(&fd) : -ENOENT;
}

/* Only the root of the whole tree is without this file; a cgroup namespace's has it. */
static bool is_whole_host(int fd)
{
	return faccessat(fd, "cgroup.events", F_OK, 0) < 0;
}

/* Take the mount if it is better than what there is. */
static void consider(const char *path, struct cgroup_root *best)
{
	_cleanup_close_ int fd = open_root(path);
	bool whole_host;

	if (fd < 0)
		return;
	whole_host = is_whole_host(fd);
	if (best->fd >= 0 && (best->whole_host || !whole_host))
		return;
	cleanup_close(&best->fd);
	best->fd = take_fd(&fd);
	best->whole_host = whole_host;
	snprintf(best->path, sizeof(best->path), "%s", path);
}

/* Not mounted here (`ip netns exec` hides it under a fresh /sys): a mount of our own, which no
 * path leads to and which ends with its descriptor. */
static int mount_detached(struct cgroup_root *ret)
{
	_cleanup_close_ int context = fsopen("cgroup2", FSOPEN_CLOEXEC);
	int fd;

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*ret = (struct cgroup_root){ .fd = fd, .whole_host = is_whole_host(fd), .path = "-" };
	return 0;
}

static int search(const char *mountinfo, struct cgroup_root *best)
{
	char path[sizeof(best->path)];
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	FILE *file = fopen(mountinfo ? mountinfo : "/proc/self/mountinfo", "re");

	if (!file)
		return -errno;
	while (getline(&line, &size, file) >= 0) {
		if (parse_mount(line, path, sizeof(path)))
			consider(path, best);
	}
	(void)fclose(file);
	return best->fd < 0 ? -ENOENT : 0;
}

int cgroup_root_open(const char *mountinfo, struct cgroup_root *ret, char *why, size_t why_size)
{
	struct cgroup_root best = { .fd = -1 };
	int err = search(mountinfo, &best);

	if (err)
		err = mount_detached(&best);
	if (err) {
		snprintf(why, why_size, "cgroup2 is not mounted, and cannot be: %s",
			 strerror(-err));
		return err;
	}
	*ret = best;
	return 0;
}

int cgroup_open(const char *path, struct cgroup_root *ret, char *why, size_t why_size)
{
	struct cgroup_root root = { .fd = open_root(path) };

	if (root.fd < 0) {
		snprintf(why, why_size, "cgroup %s: %s", path, strerror(-root.fd));
		return root.fd;
	}
	root.whole_host = is_whole_host(root.fd);
	snprintf(root.path, sizeof(root.path), "%s", path);
	*ret = root;
	return 0;
}
