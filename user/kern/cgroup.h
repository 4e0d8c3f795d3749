/* SPDX-License-Identifier: BSD-2-Clause */
/* Where programs for every socket of this host are attached. */
#ifndef KERN_CGROUP_H
#define KERN_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

struct cgroup_root {
	int fd;
	bool whole_host; /* false: a container's own root, its processes only */
	char path[256];  /* "-": mounted by us, for us alone */
};

/* The root of the cgroup v2 tree: /sys/fs/cgroup, its `unified` beside version 1, or wherever
 * it is mounted. mountinfo: NULL for "/proc/self/mountinfo". Returns 0 and gives ret->fd to
 * the caller, or -errno and why. */
int cgroup_root_open(const char *mountinfo, struct cgroup_root *ret, char *why, size_t why_size);

/* Any cgroup v2 folder in its place. */
int cgroup_open(const char *path, struct cgroup_root *ret, char *why, size_t why_size);

#endif
