// SPDX-License-Identifier: BSD-2-Clause
/*
 * Programs on interfaces without a qdisc (tcx, Linux 6.6): before all filters, and cheaper by
 * what a classifier costs. Ours are known by the name of their program. libbpf 1.1 knows no
 * tcx, but its calls hand numbers on as they are.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "kern/inline_internal.h"
#include "kern/internal.h"

/* include/uapi/linux/bpf.h, since 6.6 */
#define BPF_TCX_INGRESS 46
#define BPF_TCX_EGRESS 47
#define BPF_F_BEFORE (1U << 3) /* and relative to nothing: first of all */

#define LOOPBACK_IFINDEX 1 /* include/net/flow.h */

/* More than the kernel takes at one place: bpf_mprog.h, BPF_MPROG_MAX. */
#define PROGRAMS_MAX 64

enum bpf_attach_type tcx_place(enum tc_way way)
{
	return (enum bpf_attach_type)(way == TC_IN ? BPF_TCX_INGRESS : BPF_TCX_EGRESS);
}

bool tcx_supported(void)
{
	uint32_t n = 0;

	return bpf_prog_query(LOOPBACK_IFINDEX, tcx_place(TC_IN), 0, NULL, NULL, &n) == 0;
}

/* The descriptor of our program there, or -ENOENT. */
static int open_ours(const struct inline_known *known, uint32_t index, enum tc_way way)
{
	uint32_t ids[PROGRAMS_MAX], n = PROGRAMS_MAX;

	if (bpf_prog_query((int)index, tcx_place(way), 0, NULL, ids, &n) < 0)
		return -ENOENT;
	for (uint32_t i = 0; i < n; i++) {
		int fd = inline_open_ours(known, ids[i]);

		if (fd >= 0)
			return fd;
	}
	return -ENOENT;
}

bool tcx_has_ours(const struct inline_known *known, uint32_t index, enum tc_way way)
{
	_cleanup_close_ int fd = open_ours(known, index, way);

	return fd >= 0;
}

int tcx_put(const struct inline_known *known, uint32_t index, enum tc_way way, int prog_fd)
{
	_cleanup_close_ int old = open_ours(known, index, way);
	LIBBPF_OPTS(bpf_prog_attach_opts, opts, .flags = old < 0 ? BPF_F_BEFORE : BPF_F_REPLACE,
		    .replace_prog_fd = old < 0 ? 0 : old);
	int err;

	kern_quiet();
	err = bpf_prog_attach_opts(prog_fd, (int)index, tcx_place(way), &opts);
	/* This very program is there: a reload changes maps, not programs. */
	return err == -EEXIST ? 0 : err;
}

void tcx_remove(const struct inline_known *known, uint32_t index,
		struct kern_inline_detached *counts)
{
	static const enum tc_way ways[] = { TC_IN, TC_OUT };

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		_cleanup_close_ int fd = open_ours(known, index, ways[i]);

		if (fd >= 0 && bpf_prog_detach2(fd, (int)index, tcx_place(ways[i])) == 0)
			counts->programs++;
	}
}
