// SPDX-License-Identifier: BSD-2-Clause
/* Load the inline engine's programs over old or new maps, put them on interfaces, let go. */
#include "kern/inline.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "kern/inline_internal.h"
#include "kern/internal.h"

#include "inline.skel.h"

#define EVENTS_BYTES (4U << 20)

/* Headers in parts at a time: few connections split theirs, and none for long. */
#define PARTIALS_MIN 1024U
#define PARTIALS_SHARE 16

#define PINS_DEFAULT "/sys/fs/bpf/unproxy"
#define HINT_DETACH ": unproxy detach removes it, and ends its connections"

static int set_sizes(struct inline_bpf *skel, uint32_t flows)
{
	uint32_t partials = flows / PARTIALS_SHARE;
	int err = bpf_map__set_max_entries(skel->maps.flows, flows);

	if (!err)
		err = bpf_map__set_max_entries(skel->maps.aliases, flows);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.partials,
					       partials > PARTIALS_MIN ? partials : PARTIALS_MIN);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.flow_events, EVENTS_BYTES);
	return err;
}

static int on_event(void *context, void *data, size_t size)
{
	struct kern_inline *kern = context;
	const struct up_flow_event *event = data;
	bool has_header = false, whole = size >= sizeof(*event);

	if (whole && event->kind == UP_EVENT_OPEN && event->header_len > 0) {
		has_header = true;
		whole = size - sizeof(*event) >= event->header_len;
	}
	if (whole)
		kern->fn(kern->context, event, has_header ? (const uint8_t *)(event + 1) : NULL);
	/* An error ends ring_buffer__consume() behind this event. */
	return --kern->events_left ? 0 : -ENOBUFS;
}

static int claim(struct kern_inline *kern, const char *pin_root, char *why, size_t why_size)
{
	int err;

	pin_root = kern_pin_root(pin_root, &err);
	if (!pin_root)
		return kern_fail(why, why_size, "pin", err);
	(void)snprintf(kern->pin_path, sizeof(kern->pin_path), "%s/inline", pin_root);
	kern->pin_dir_fd = kern_pin_lock(kern->pin_path, true);
	if (kern->pin_dir_fd == -ENOENT) /* whoever detached has just removed it */
		kern->pin_dir_fd = kern_pin_lock(kern->pin_path, true);
	if (kern->pin_dir_fd == -EWOULDBLOCK)
		(void)snprintf(why, why_size, "another instance runs: %s is locked",
			       kern->pin_path);
	else if (kern->pin_dir_fd < 0)
		(void)kern_fail(why, why_size, kern->pin_path, kern->pin_dir_fd);
	return kern->pin_dir_fd < 0 ? kern->pin_dir_fd : 0;
}

static void know_own(struct kern_inline *kern)
{
	const struct inline_bpf *skel = kern->skel;
	const struct bpf_program *programs[] = { skel->progs.up_in_eth, skel->progs.up_in_l3,
						 skel->progs.up_out_eth, skel->progs.up_out_l3 };

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		inline_know(&kern->known, bpf_program__fd(programs[i]));
}

static int bring_up(struct kern_inline *kern, const struct kern_inline_params *params, char *why,
		    size_t why_size)
{
	int err = claim(kern, params->pin_root, why, why_size);

	if (err)
		return err;
	kern->skel = inline_bpf__open();
	if (!kern->skel)
		return kern_fail(why, why_size, "open", -errno);
	err = set_sizes(kern->skel, params->flows);
	if (!err)
		err = bpf_map__reuse_fd(kern->skel->maps.deny_list, params->deny_fd);
	if (err)
		return kern_fail(why, why_size, "size maps", err);
	err = inline_adopt(kern->skel->obj, kern, &kern->adopted, why, why_size);
	if (err == -ESTALE)
		(void)strncat(why, HINT_DETACH, why_size - strlen(why) - 1);
	if (err)
		return err;
	kern->fresh = !kern->adopted;
	inline_know_pinned(&kern->known, kern->pin_path);
	err = inline_bpf__load(kern->skel);
	if (err)
		return kern_fail(why, why_size, "load", err);
	if (!kern->adopted)
		err = inline_pin_maps(kern->skel->obj, kern->pin_path);
	if (err)
		return kern_fail(why, why_size, "pin", err);
	know_own(kern);
	kern->ring = ring_buffer__new(bpf_map__fd(kern->skel->maps.flow_events), on_event, kern,
				      NULL);
	return kern->ring ? 0 : kern_fail(why, why_size, "events", -errno);
}

int kern_inline_open(const struct kern_inline_params *params, struct kern_inline **ret, char *why,
		     size_t why_size)
{
	struct kern_inline *kern = calloc(1, sizeof(*kern));
	int err;

	if (!kern)
		return -ENOMEM;
	kern->pin_dir_fd = -1;
	kern->fn = params->fn;
	kern->context = params->context;
	kern->netns = kern_netns();
	kern_quiet();
	kern->tcx = params->tcx && tcx_supported();
	err = bring_up(kern, params, why, why_size);
	if (err) {
		kern_inline_close(kern, false);
		return err;
	}
	*ret = kern;
	return 0;
}

static int remember(struct kern_inline *kern, const struct kern_interface *interface,
		    bool made_clsact)
{
	int fd = bpf_map__fd(kern->skel->maps.attachments);
	struct up_attachment entry = { 0 }, old;

	(void)snprintf(entry.name, sizeof(entry.name), "%s", interface->name);
	entry.netns = kern->netns;
	entry.abi = UP_FLOW_ABI;
	entry.made_clsact = made_clsact;
	/* Made by an earlier instance, and still there: ours to remove. */
	if (!made_clsact && bpf_map_lookup_elem(fd, &interface->index, &old) == 0 &&
	    strncmp(old.name, entry.name, sizeof(old.name)) == 0)
		entry.made_clsact = old.made_clsact;
	return bpf_map_update_elem(fd, &interface->index, &entry, BPF_ANY) < 0 ? -errno : 0;
}

bool inline_is_ours(int prog_fd)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len) < 0)
		return false;
	return strncmp(info.name, "up_in_", 6) == 0 || strncmp(info.name, "up_out_", 7) == 0;
}

static int program_fd(const struct kern_inline *kern, const struct kern_interface *interface,
		      enum tc_way way)
{
	const struct inline_bpf *skel = kern->skel;

	if (way == TC_IN)
		return bpf_program__fd(interface->ethernet ? skel->progs.up_in_eth
							   : skel->progs.up_in_l3);
	return bpf_program__fd(interface->ethernet ? skel->progs.up_out_eth
						   : skel->progs.up_out_l3);
}

/* Where an earlier instance has its programs, ours replace them: the two kinds together would
 * take a header's length off twice. */
static bool goes_by_tcx(const struct kern_inline *kern, uint32_t index)
{
	if (tcx_has_ours(&kern->known, index, TC_IN) || tcx_has_ours(&kern->known, index, TC_OUT))
		return true;
	return kern->tcx && !tc_has_ours(index, TC_IN) && !tc_has_ours(index, TC_OUT);
}

/* The way out first, here and below: it is the in-program that makes a connection ours. */
static int attach_tcx(struct kern_inline *kern, const struct kern_interface *interface, char *why,
		      size_t why_size)
{
	int err = remember(kern, interface, false);

	if (err)
		return kern_fail(why, why_size, "attachments", err);
	err = tcx_put(&kern->known, interface->index, TC_OUT, program_fd(kern, interface, TC_OUT));
	if (!err)
		err = tcx_put(&kern->known, interface->index, TC_IN,
			      program_fd(kern, interface, TC_IN));
	return err ? kern_fail(why, why_size, "tcx", err) : 0;
}

static int attach_clsact(struct kern_inline *kern, const struct kern_interface *interface,
			 bool *ret_behind, char *why, size_t why_size)
{
	bool behind_in = false, behind_out = false, made;
	int err = tc_make_qdisc(interface->index);

	if (err == -EBUSY) {
		(void)snprintf(why, why_size,
			       "there is an ingress qdisc where clsact is needed (tc qdisc del dev "
			       "%s ingress)",
			       interface->name);
		return err;
	}
	if (err && err != -EEXIST)
		return kern_fail(why, why_size, "clsact", err);
	made = err == 0;
	err = remember(kern, interface, made);
	if (err) {
		struct kern_inline_detached counts = { 0 };

		if (made) /* nobody else would know whose it is */
			tc_remove(interface->index, true, &counts);
		return kern_fail(why, why_size, "attachments", err);
	}
	err = tc_put_filter(interface->index, TC_OUT, program_fd(kern, interface, TC_OUT),
			    &behind_out);
	if (err)
		return kern_fail(why, why_size, "egress filter", err);
	err = tc_put_filter(interface->index, TC_IN, program_fd(kern, interface, TC_IN),
			    &behind_in);
	if (err)
		return kern_fail(why, why_size, "ingress filter", err);
	*ret_behind = behind_in || behind_out;
	return 0;
}

int kern_inline_attach(struct kern_inline *kern, const struct kern_interface *interface,
		       bool *ret_behind, char *why, size_t why_size)
{
	int err;

	*ret_behind = false; /* tcx comes before all filters */
	if (goes_by_tcx(kern, interface->index))
		err = attach_tcx(kern, interface, why, why_size);
	else
		err = attach_clsact(kern, interface, ret_behind, why, why_size);
	if (err)
		return err;
	err = inline_pin_programs(kern->skel->obj, kern->pin_path);
	return err ? kern_fail(why, why_size, "pin programs", err) : 0;
}

static bool has_ours(const struct kern_inline *kern, uint32_t index)
{
	if (tcx_has_ours(&kern->known, index, TC_IN))
		return tcx_has_ours(&kern->known, index, TC_OUT);
	return tc_has_ours(index, TC_IN) && tc_has_ours(index, TC_OUT);
}

enum kern_attached kern_inline_is_attached(const struct kern_inline *kern, uint32_t index)
{
	struct up_attachment entry;
	int fd = bpf_map__fd(kern->skel->maps.attachments);

	if (bpf_map_lookup_elem(fd, &index, &entry) < 0)
		return KERN_NEW;
	return has_ours(kern, index) ? KERN_ATTACHED : KERN_REMOVED;
}

size_t kern_inline_interfaces(const struct kern_inline *kern, struct kern_interface *ret,
			      size_t room)
{
	_cleanup_free_ struct attachments *found = calloc(1, sizeof(*found));
	size_t n = 0;

	if (!found || inline_read_attachments(bpf_map__fd(kern->skel->maps.attachments), found) < 0)
		return 0;
	for (size_t i = 0; i < found->n && n < room; i++) {
		ret[n] = (struct kern_interface){ .index = found->indexes[i] };
		memcpy(ret[n++].name, found->entries[i].name, sizeof(ret->name));
	}
	return n;
}

void kern_inline_forget(struct kern_inline *kern, uint32_t index)
{
	(void)bpf_map_delete_elem(bpf_map__fd(kern->skel->maps.attachments), &index);
}

/* Every interface of this network namespace, whether we remember it or not. */
static void remove_programs(const struct attachments *known, const struct inline_known *programs,
			    struct kern_inline_detached *counts)
{
	struct if_nameindex *all = if_nameindex();

	for (const struct if_nameindex *at = all; at && at->if_index; at++) {
		bool made = false;

		for (size_t i = 0; i < known->n; i++)
			made |= known->indexes[i] == at->if_index &&
				known->entries[i].made_clsact &&
				strncmp(known->entries[i].name, at->if_name,
					sizeof(known->entries[i].name)) == 0;
		tcx_remove(programs, at->if_index, counts);
		tc_remove(at->if_index, made, counts);
	}
	if_freenameindex(all);
}

void kern_inline_close(struct kern_inline *kern, bool detach)
{
	struct kern_inline_detached counts = { 0 };
	struct attachments *known;

	if (!kern)
		return;
	known = calloc(1, sizeof(*known));
	if (known && kern->skel && bpf_map__fd(kern->skel->maps.attachments) >= 0)
		(void)inline_read_attachments(bpf_map__fd(kern->skel->maps.attachments), known);
	if (detach && known)
		remove_programs(known, &kern->known, &counts);
	/* Where nothing is attached, nothing needs the pins. */
	if (kern->pin_dir_fd >= 0 && (detach || (kern->fresh && known && known->n == 0)))
		inline_unpin(kern->pin_path, kern->pin_dir_fd);
	else if (kern->pin_dir_fd >= 0)
		(void)rmdir(kern->pin_path); /* ours by name alone, and empty: else it stays */
	free(known);
	ring_buffer__free(kern->ring);
	inline_unknow(&kern->known);
	inline_bpf__destroy(kern->skel);
	if (kern->pin_dir_fd >= 0)
		(void)close(kern->pin_dir_fd);
	free(kern);
}

int kern_inline_flows_fd(const struct kern_inline *kern)
{
	return bpf_map__fd(kern->skel->maps.flows);
}

int kern_inline_aliases_fd(const struct kern_inline *kern)
{
	return bpf_map__fd(kern->skel->maps.aliases);
}

bool kern_inline_adopted(const struct kern_inline *kern)
{
	return kern->adopted;
}

const char *kern_inline_pin_path(const struct kern_inline *kern)
{
	return kern->pin_path;
}

/* The pinned `attachments`; none where there are no pins. */
static int read_known(const char *pin_path, struct attachments *ret)
{
	_cleanup_close_ int fd = -1;
	char path[INLINE_PATH_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/attachments", pin_path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return inline_read_attachments(fd, ret);
}

int kern_inline_detach(const char *pin_root, bool force, struct kern_inline_detached *ret,
		       char *why, size_t why_size)
{
	_cleanup_free_ struct attachments *known = calloc(1, sizeof(*known));
	struct inline_known programs = { 0 };
	_cleanup_close_ int dir_fd = -1;
	char path[INLINE_PATH_MAX];
	int err;

	*ret = (struct kern_inline_detached){ 0 };
	if (!known)
		return -ENOMEM;
	kern_quiet();
	(void)snprintf(path, sizeof(path), "%s/inline", pin_root ? pin_root : PINS_DEFAULT);
	dir_fd = kern_pin_lock(path, false);
	if (dir_fd == -EWOULDBLOCK) {
		(void)snprintf(why, why_size, "a daemon runs: stop it first (%s is locked)", path);
		return dir_fd;
	}
	if (dir_fd < 0 && dir_fd != -ENOENT)
		return kern_fail(why, why_size, path, dir_fd);
	err = dir_fd < 0 ? 0 : read_known(path, known);
	if (err)
		return kern_fail(why, why_size, "pinned attachments", err);
	for (size_t i = 0; i < known->n && !force; i++) {
		if (known->entries[i].netns == kern_netns())
			continue;
		(void)snprintf(why, why_size,
			       "%s is attached in another network namespace: detach there, or, if "
			       "that is gone, with --force",
			       known->entries[i].name);
		return -EXDEV;
	}
	inline_know_pinned(&programs, path);
	remove_programs(known, &programs, ret);
	inline_unknow(&programs);
	if (dir_fd >= 0) {
		ret->pins = 1;
		inline_unpin(path, dir_fd);
	}
	return 0;
}
