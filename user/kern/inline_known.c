// SPDX-License-Identifier: BSD-2-Clause
/*
 * Programs of ours by their number, as an interface tells it. To open any program by its
 * number takes CAP_SYS_ADMIN, which a daemon need not have; those that it has loaded, and
 * those that an earlier one has pinned, it knows without.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "kern/inline_internal.h"

/* 0: it cannot be told. */
static uint32_t id_of(int prog_fd)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(prog_fd, &info, &len) < 0 ? 0 : info.id;
}

void inline_know(struct inline_known *known, int prog_fd)
{
	_cleanup_close_ int fd = fcntl(prog_fd, F_DUPFD_CLOEXEC, 0);
	uint32_t id = fd < 0 ? 0 : id_of(fd);

	if (!id || known->n == ARRAY_SIZE(known->fds))
		return;
	known->ids[known->n] = id;
	known->fds[known->n++] = take_fd(&fd);
}

void inline_know_pinned(struct inline_known *known, const char *pin_path)
{
	static const char *const names[] = { "up_in_eth", "up_in_l3", "up_out_eth", "up_out_l3" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_close_ int fd = -1;
		char path[INLINE_PATH_MAX + 32];

		(void)snprintf(path, sizeof(path), "%s/prog_%s", pin_path, names[i]);
		fd = bpf_obj_get(path);
		if (fd >= 0)
			inline_know(known, fd);
	}
}

int inline_open_ours(const struct inline_known *known, uint32_t id)
{
	_cleanup_close_ int fd = -1;

	for (size_t i = 0; known && i < known->n; i++) {
		if (known->ids[i] == id)
			fd = fcntl(known->fds[i], F_DUPFD_CLOEXEC, 0);
	}
	if (fd < 0)
		fd = bpf_prog_get_fd_by_id(id);
	return fd >= 0 && inline_is_ours(fd) ? take_fd(&fd) : -ENOENT;
}

void inline_unknow(struct inline_known *known)
{
	for (size_t i = 0; i < known->n; i++)
		(void)close(known->fds[i]);
	known->n = 0;
}
