// SPDX-License-Identifier: BSD-2-Clause
/*
 * Where the maps are pinned: /sys/fs/bpf/unproxy/relay, or relay-1, relay-2 ... where
 * other instances live (bpffs refuses names with a dot). A directory is owned by whoever holds its flock, so what a killed
 * instance left is told from what a live one uses without pid files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>

#include "base/cleanup.h"
#include "kern/hook_pin.h"
#include "kern/internal.h"
#include "relay.skel.h"

#define BPFFS "/sys/fs/bpf"
#define INSTANCES_MAX 64
#define RELAY_PINS "relay"

static int mount_bpffs(void)
{
	struct statfs fs;

	if (statfs(BPFFS, &fs) < 0)
		return -errno;
	if (fs.f_type == BPF_FS_MAGIC)
		return 0;
	return mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0
		       ? -errno
		       : 0;
}

void kern_pin_empty(int dir_fd)
{
	int fd = dup(dir_fd);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	rewinddir(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			(void)unlinkat(dir_fd, entry->d_name, 0);
	}
	(void)closedir(dir);
}

int kern_pin_lock(const char *path, bool create)
{
	_cleanup_close_ int fd = -1;
	struct stat by_fd, by_path;

	if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	/* Removed by its last owner between our open() and flock(): not ours. */
	if (fstat(fd, &by_fd) < 0 || stat(path, &by_path) < 0 || by_fd.st_ino != by_path.st_ino)
		return -ENOENT;
	return take_fd(&fd);
}

const char *kern_pin_root(const char *root, int *ret_err)
{
	*ret_err = 0;
	if (!root) {
		root = BPFFS "/unproxy";
		*ret_err = mount_bpffs();
	}
	if (!*ret_err && mkdir(root, 0700) < 0 && errno != EEXIST)
		*ret_err = -errno;
	return *ret_err ? NULL : root;
}

int kern_pin_claim(struct kern *kern, const char *root)
{
	int fd = -EUSERS;
	int err;

	root = kern_pin_root(root, &err);
	if (!root)
		return err;
	for (int i = 0; i < INSTANCES_MAX; i++) {
		char path[sizeof(kern->pin_path)];

		if (i == 0)
			snprintf(path, sizeof(path), "%s/" RELAY_PINS, root);
		else
			snprintf(path, sizeof(path), "%s/" RELAY_PINS "-%d", root, i);
		fd = kern_pin_lock(path, true);
		if (fd >= 0) {
			memcpy(kern->pin_path, path, sizeof(path));
			break;
		}
		if (fd != -EWOULDBLOCK && fd != -ENOENT)
			break;
	}
	if (fd < 0)
		return fd;
	kern_pin_empty(fd);
	kern->pin_dir_fd = fd;
	return 0;
}

unsigned kern_sweep(const char *pin_root)
{
	return pin_sweep(pin_root, RELAY_PINS);
}

#define MAPS 8

static void list_maps(const struct kern *kern, struct bpf_map *ret[MAPS])
{
	struct bpf_map *maps[] = {
		kern->skel->maps.sources,      kern->skel->maps.targets,
		kern->skel->maps.direction_of, kern->skel->maps.directions,
		kern->skel->maps.rings,        kern->skel->maps.connections,
		kern->skel->maps.backends,     kern->skel->maps.stats,
	};

	_Static_assert(ARRAY_SIZE(maps) == MAPS, "room for each map");
	memcpy(ret, maps, sizeof(maps));
}

static void map_path(const struct kern *kern, const struct bpf_map *map, char *buf, size_t size)
{
	snprintf(buf, size, "%s/%s", kern->pin_path, bpf_map__name(map));
}

int kern_pin_maps(struct kern *kern)
{
	struct bpf_map *maps[MAPS];

	list_maps(kern, maps);
	for (size_t i = 0; i < MAPS; i++) {
		char path[sizeof(kern->pin_path) + 32];
		int err;

		map_path(kern, maps[i], path, sizeof(path));
		err = bpf_map__pin(maps[i], path);
		if (err)
			return err;
	}
	return 0;
}

/* Their sizes may be others. */
static bool same_kind(const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) &&
	       info.value_size == bpf_map__value_size(map);
}

int kern_pin_adopt(struct kern *kern, const struct kern_shared *shared)
{
	struct bpf_map *maps[MAPS];

	kern->pin_dir_fd = fcntl(shared->fd, F_DUPFD_CLOEXEC, 0);
	if (kern->pin_dir_fd < 0)
		return -errno;
	snprintf(kern->pin_path, sizeof(kern->pin_path), "%s", shared->path);
	kern->shared = true; /* whatever comes: they are another's, too */
	list_maps(kern, maps);
	for (size_t i = 0; i < MAPS; i++) {
		char path[sizeof(kern->pin_path) + 32];
		_cleanup_close_ int fd = -1;
		int err;

		map_path(kern, maps[i], path, sizeof(path));
		fd = bpf_obj_get(path);
		if (fd < 0)
			return -errno;
		if (!same_kind(maps[i], fd))
			return -ESTALE;
		err = bpf_map__reuse_fd(maps[i], fd);
		if (err)
			return err;
	}
	return 0;
}

void kern_pin_release(struct kern *kern)
{
	char *slash;

	if (kern->pin_dir_fd < 0)
		return;
	kern_pin_empty(kern->pin_dir_fd);
	(void)rmdir(kern->pin_path);
	/* The root too, when we were the last: EBUSY or ENOTEMPTY otherwise. */
	slash = strrchr(kern->pin_path, '/');
	if (slash) {
		*slash = '\0';
		(void)rmdir(kern->pin_path);
		*slash = '/';
	}
	(void)close(kern->pin_dir_fd);
	kern->pin_dir_fd = -1;
}
