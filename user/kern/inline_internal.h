/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the inline files of kern/ alone. */
#ifndef KERN_INLINE_INTERNAL_H
#define KERN_INLINE_INTERNAL_H

#include <linux/bpf.h>

#include "kern/inline.h"

#define INLINE_PATH_MAX 128
#define INTERFACES_MAX 1024 /* entries of `attachments` */

struct inline_bpf;
struct ring_buffer;
struct bpf_object;

/* inline_known.c */
struct inline_known {
	int fds[8]; /* those of an earlier instance, and our own */
	uint32_t ids[8];
	size_t n;
};

/* A program, whose descriptor stays the caller's. */
void inline_know(struct inline_known *known, int prog_fd);
void inline_know_pinned(struct inline_known *known, const char *pin_path);
void inline_unknow(struct inline_known *known);

/* The program of that number, if it is one of ours. known may be NULL. Returns a descriptor or
 * -ENOENT. */
int inline_open_ours(const struct inline_known *known, uint32_t id);

struct kern_inline {
	struct inline_bpf *skel;
	struct ring_buffer *ring;
	kern_inline_event_fn *fn;
	void *context;
	unsigned events_left; /* of those kern_inline_consume() may take */
	uint64_t netns;
	uint32_t sweep_place; /* where the next look begins */
	bool sweeping;        /* ... and not at the beginning */
	int pin_dir_fd;       /* locked while we live */
	char pin_path[INLINE_PATH_MAX];
	bool adopted;
	bool tcx; /* where no earlier instance has filters */
	struct inline_known known;
	bool fresh; /* what is pinned is ours from the beginning */
};

/* Inode of the network namespace of this thread; 0 if it cannot be told. */
uint64_t kern_netns(void);

/* inline_pin.c */
struct attachments {
	uint32_t indexes[INTERFACES_MAX];
	struct up_attachment entries[INTERFACES_MAX];
	size_t n;
};

int inline_read_attachments(int map_fd, struct attachments *ret);

/* Use the pinned maps of an earlier instance in the opened object, or clear away what one
 * left that never got to work. *ret_adopted says which. */
int inline_adopt(struct bpf_object *object, const struct kern_inline *kern, bool *ret_adopted,
		 char *why, size_t why_size);

/* Pin the maps (not those of an earlier instance), and the programs in place of its. */
int inline_pin_maps(struct bpf_object *object, const char *pin_path);
int inline_pin_programs(struct bpf_object *object, const char *pin_path);

/* Unlink all pins and the directories. */
void inline_unpin(const char *pin_path, int dir_fd);

enum tc_way { TC_IN, TC_OUT };

/* Is it one of those that go on interfaces? Of whichever instance. */
bool inline_is_ours(int prog_fd);

/* inline_tcx.c: without a qdisc. */
enum bpf_attach_type tcx_place(enum tc_way way);
bool tcx_supported(void);
bool tcx_has_ours(const struct inline_known *known, uint32_t index, enum tc_way way);

/* First of all there, or in place of ours at once. 0 or -errno. */
int tcx_put(const struct inline_known *known, uint32_t index, enum tc_way way, int prog_fd);
void tcx_remove(const struct inline_known *known, uint32_t index,
		struct kern_inline_detached *counts);

/* inline_tc.c: as filters of clsact. */

/* Each RTM_NEWTFILTER message about a filter of the clsact there, anybody's. 0, or -errno if
 * not all were told. */
struct nlmsghdr;
typedef void tc_filter_fn(void *context, const struct nlmsghdr *message);
int tc_each_filter(uint32_t index, enum tc_way way, tc_filter_fn *fn, void *context);

/* Make the qdisc that filters stand in. 0: made; -EEXIST: there is one; -EBUSY: there is an
 * "ingress" in its place. */
int tc_make_qdisc(uint32_t index);

bool tc_has_ours(uint32_t index, enum tc_way way);

/* *ret_behind: another filter stands before ours. 0 or -errno. */
int tc_put_filter(uint32_t index, enum tc_way way, int prog_fd, bool *ret_behind);

/* Remove our filters of an interface, and with qdisc the qdisc, if no filter is left. */
void tc_remove(uint32_t index, bool qdisc, struct kern_inline_detached *counts);

#endif
