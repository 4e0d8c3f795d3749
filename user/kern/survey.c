// SPDX-License-Identifier: BSD-2-Clause
#include "kern/survey.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "base/netlink.h"
#include "kern/inline_internal.h"

#define IDS_MAX 64
#define MAPS_LOOKED_AT 65536 /* of the host: a bound on the walk */

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static struct survey_entry *add(struct survey *survey)
{
	struct survey_entry *entry = survey->n < survey->room ? &survey->entries[survey->n] : NULL;

	survey->n++;
	if (entry)
		*entry = (struct survey_entry){ 0 };
	return entry;
}

/* All programs of ours begin so. Returns whether it is one of them. */
static bool add_program(struct survey *survey, uint32_t id, const char *where, bool before)
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
	struct survey_entry *entry = add(survey);
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	if (!entry)
		return false;
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		info.name[0] = '\0';
	entry->id = id;
	entry->ours = has_prefix(info.name, "up_");
	entry->before = before && !entry->ours;
	(void)snprintf(entry->name, sizeof(entry->name), "%s", info.name[0] ? info.name : "?");
	(void)snprintf(entry->where, sizeof(entry->where), "%s", where);
	return entry->ours;
}

struct filters {
	struct survey *survey;
	enum tc_way way;
	bool behind_ours; /* ours are tcx programs, or would be */
};

/* Filters that are no program: once for all of a kind and place. */
static void add_kind(struct survey *survey, const char *kind, const char *where, bool before)
{
	struct survey_entry *entry;

	if (survey->n > 0 && survey->n <= survey->room) {
		entry = &survey->entries[survey->n - 1];
		if (strcmp(entry->name, kind) == 0 && strcmp(entry->where, where) == 0)
			return;
	}
	entry = add(survey);
	if (!entry)
		return;
	(void)snprintf(entry->name, sizeof(entry->name), "%s", kind);
	(void)snprintf(entry->where, sizeof(entry->where), "%s", where);
	entry->before = before;
}

static void on_filter(void *context, const struct nlmsghdr *message)
{
	const struct filters *filters = context;
	const struct tcmsg *tc = NLMSG_DATA(message);
	const struct rtattr *kind = netlink_attr(message, sizeof(*tc), TCA_KIND);
	const struct rtattr *options = netlink_attr(message, sizeof(*tc), TCA_OPTIONS);
	uint32_t priority = tc->tcm_info >> 16, id = 0;
	const struct rtattr *id_attr = NULL;
	char where[32];

	if (!kind || !options || !tc->tcm_handle) /* the head of a row of filters */
		return;
	(void)snprintf(where, sizeof(where), "tc %s priority %u",
		       filters->way == TC_IN ? "ingress" : "egress", priority);
	if (strcmp(RTA_DATA(kind), "bpf") == 0)
		id_attr = netlink_nested(options, TCA_BPF_ID);
	if (!id_attr) {
		/* Programs share priority 1 with ours, other kinds keep it for themselves. */
		add_kind(filters->survey, RTA_DATA(kind), where,
			 priority <= 1 && !filters->behind_ours);
		return;
	}
	memcpy(&id, RTA_DATA(id_attr), sizeof(id));
	(void)add_program(filters->survey, id, where, priority < 1 && !filters->behind_ours);
}

/* Programs of an attachment point of an interface or a cgroup. */
static int query(int target, enum bpf_attach_type type, const char *where, bool before,
		 struct survey *survey)
{
	LIBBPF_OPTS(bpf_prog_query_opts, opts);
	uint32_t ids[IDS_MAX];

	opts.prog_ids = ids;
	opts.prog_cnt = IDS_MAX;
	if (bpf_prog_query_opts(target, type, &opts) < 0)
		return -errno;
	for (uint32_t i = 0; i < opts.prog_cnt && i < IDS_MAX; i++)
		before = !add_program(survey, ids[i], where, before) && before;
	return 0;
}

/* EINVAL: a kernel that has none. */
static int query_tcx(uint32_t index, enum tc_way way, const char *where, struct survey *survey)
{
	int err = query((int)index, tcx_place(way), where, true, survey);

	return err == -EINVAL || err == -EOPNOTSUPP ? 0 : err;
}

static bool before_filters(uint32_t index, enum tc_way way)
{
	return tcx_has_ours(NULL, index, way) || (tcx_supported() && !tc_has_ours(index, way));
}

int survey_interface(uint32_t index, struct survey *ret)
{
	struct filters in = { ret, TC_IN, before_filters(index, TC_IN) };
	struct filters out = { ret, TC_OUT, before_filters(index, TC_OUT) };
	int err = query_tcx(index, TC_IN, "tcx ingress", ret);

	if (!err)
		err = query_tcx(index, TC_OUT, "tcx egress", ret);
	if (!err)
		err = tc_each_filter(index, TC_IN, on_filter, &in);
	return err ? err : tc_each_filter(index, TC_OUT, on_filter, &out);
}

int survey_cgroup(const struct cgroup_root *root, struct survey *ret)
{
	int err = query(root->fd, BPF_CGROUP_INET4_GETPEERNAME, "getpeername4", false, ret);

	return err ? err
		   : query(root->fd, BPF_CGROUP_INET6_GETPEERNAME, "getpeername6", false, ret);
}

static void add_map(struct survey *survey, const struct bpf_map_info *info)
{
	struct survey_entry *entry = add(survey);

	if (!entry)
		return;
	entry->id = info->id;
	entry->ours = strcmp(info->name, "sources") == 0 || strcmp(info->name, "targets") == 0;
	(void)snprintf(entry->name, sizeof(entry->name), "%s", info->name[0] ? info->name : "?");
	(void)snprintf(entry->where, sizeof(entry->where), "%s",
		       info->type == BPF_MAP_TYPE_SOCKMAP ? "sockmap" : "sockhash");
}

int survey_sockmaps(struct survey *ret)
{
	uint32_t id = 0;

	for (unsigned i = 0; i < MAPS_LOOKED_AT; i++) {
		struct bpf_map_info info = { 0 };
		uint32_t len = sizeof(info);
		_cleanup_close_ int fd = -1;

		if (bpf_map_get_next_id(id, &id) < 0)
			return errno == ENOENT ? 0 : -errno;
		fd = bpf_map_get_fd_by_id(id);
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
			continue; /* gone meanwhile */
		if (info.type == BPF_MAP_TYPE_SOCKMAP || info.type == BPF_MAP_TYPE_SOCKHASH)
			add_map(ret, &info);
	}
	return 0;
}
