// SPDX-License-Identifier: BSD-2-Clause
/*
 * Programs on interfaces as filters of a clsact qdisc: for kernels without tcx. Ours are known
 * by handle, priority and name; everything else there is others' and stays as it is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/netlink.h"
#include "kern/inline_internal.h"
#include "kern/internal.h"

#define HANDLE 0x7570 /* "up" */

/* First in the row: a filter that takes a packet (TC_ACT_OK, a redirect) hides it from those
 * behind, and a header that reaches the app breaks the connection. Ours lets all that it
 * passes go on to the others (TC_ACT_UNSPEC). Programs of others may share a priority with
 * ours; where another kind of filter has it (matchall, flower), the second one must do,
 * which stands before those that the kernel chooses (0xc000 and less). */
static const uint32_t priorities[] = { 1, 0x7570 };

static struct bpf_tc_hook hook_of(uint32_t index, enum tc_way way)
{
	return (struct bpf_tc_hook){
		.sz = sizeof(struct bpf_tc_hook),
		.ifindex = (int)index,
		.attach_point = way == TC_IN ? BPF_TC_INGRESS : BPF_TC_EGRESS,
	};
}

struct tc_request {
	struct nlmsghdr head;
	struct tcmsg tc;
};

static struct tc_request request_of(uint16_t type, uint16_t flags, uint32_t index, uint32_t parent)
{
	return (struct tc_request){
		.head = { .nlmsg_len = sizeof(struct tc_request),
			  .nlmsg_type = type,
			  .nlmsg_flags = NLM_F_REQUEST | flags },
		.tc = { .tcm_ifindex = (int)index, .tcm_parent = parent },
	};
}

static ssize_t ask(const struct tc_request *request, struct nlmsghdr *answer, size_t room)
{
	return netlink_ask(NETLINK_ROUTE, request, sizeof(*request), answer, room);
}

/* An attribute of a message about a qdisc or a filter. */
static const struct rtattr *find_in(const struct nlmsghdr *message, unsigned type)
{
	return netlink_attr(message, sizeof(struct tcmsg), type);
}

/* The program's name is in the filter's, "up_in_eth:[47]", for everybody to read: to ask for
 * the program by its number would take CAP_SYS_ADMIN. */
static bool is_ours(const struct nlmsghdr *message)
{
	const struct rtattr *name = netlink_nested(find_in(message, TCA_OPTIONS), TCA_BPF_NAME);

	return name && (strncmp(RTA_DATA(name), "up_in_", 6) == 0 ||
			strncmp(RTA_DATA(name), "up_out_", 7) == 0);
}

/* The filter at our handle and that priority: 0, or -errno. */
static int query(uint32_t index, enum tc_way way, uint32_t priority, bool *ret_ours)
{
	uint32_t minor = way == TC_IN ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS;
	struct tc_request request = request_of(RTM_GETTFILTER, 0, index,
					       TC_H_MAKE(TC_H_CLSACT, minor));
	struct nlmsghdr answer[4096 / sizeof(struct nlmsghdr)];
	ssize_t len;

	request.tc.tcm_handle = HANDLE;
	request.tc.tcm_info = TC_H_MAKE(priority << 16, htons(ETH_P_ALL));
	len = ask(&request, answer, sizeof(answer));
	if (len <= 0 || answer->nlmsg_type != RTM_NEWTFILTER)
		return len < 0 ? (int)len : -ENOENT;
	*ret_ours = is_ours(answer);
	return 0;
}

/* The priority of our filter; 0: there is none. */
static uint32_t find_ours(uint32_t index, enum tc_way way)
{
	bool ours;

	for (size_t i = 0; i < ARRAY_SIZE(priorities); i++) {
		if (query(index, way, priorities[i], &ours) == 0 && ours)
			return priorities[i];
	}
	return 0;
}

static int put_at(uint32_t index, enum tc_way way, uint32_t priority, int prog_fd)
{
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = priority, .prog_fd = prog_fd,
		    .flags = BPF_TC_F_REPLACE);
	struct bpf_tc_hook hook = hook_of(index, way);

	kern_quiet();
	return bpf_tc_attach(&hook, &opts);
}

int tc_put_filter(uint32_t index, enum tc_way way, int prog_fd, bool *ret_behind)
{
	uint32_t priority = find_ours(index, way);
	int err = -EEXIST;
	bool ours;

	*ret_behind = priority > priorities[0];
	if (priority)
		return put_at(index, way, priority, prog_fd);
	for (size_t i = 0; i < ARRAY_SIZE(priorities); i++) {
		if (query(index, way, priorities[i], &ours) == 0)
			continue; /* somebody else's, with our handle */
		err = put_at(index, way, priorities[i], prog_fd);
		if (!err) {
			*ret_behind = i > 0;
			return 0;
		}
	}
	return err;
}

/* Is the qdisc at the place of clsact one? The older "ingress" stands there, too, and takes
 * filters for the way out without a word, to run them on the way in. */
static bool is_clsact(uint32_t index)
{
	/* Older kernels send the answer as an echo only; the ack is for when there is none. */
	struct tc_request request = request_of(RTM_GETQDISC, NLM_F_ECHO | NLM_F_ACK, index,
					       TC_H_CLSACT);
	struct nlmsghdr answer[4096 / sizeof(struct nlmsghdr)];
	const struct rtattr *kind;

	if (ask(&request, answer, sizeof(answer)) <= 0 || answer->nlmsg_type != RTM_NEWQDISC)
		return false;
	kind = find_in(answer, TCA_KIND);
	return kind && strcmp(RTA_DATA(kind), "clsact") == 0;
}

int tc_make_qdisc(uint32_t index)
{
	struct bpf_tc_hook hook = hook_of(index, TC_IN);
	int err;

	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	kern_quiet();
	err = bpf_tc_hook_create(&hook);
	kern_quiet();
	return err == -EEXIST && !is_clsact(index) ? -EBUSY : err;
}

bool tc_has_ours(uint32_t index, enum tc_way way)
{
	return find_ours(index, way) != 0;
}

struct filter_walk {
	tc_filter_fn *fn;
	void *context;
};

static int on_message(void *context, const struct nlmsghdr *message)
{
	const struct filter_walk *walk = context;

	if (message->nlmsg_type == RTM_NEWTFILTER)
		walk->fn(walk->context, message);
	return 0;
}

int tc_each_filter(uint32_t index, enum tc_way way, tc_filter_fn *fn, void *context)
{
	uint32_t minor = way == TC_IN ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS;
	struct tc_request request = request_of(RTM_GETTFILTER, NLM_F_DUMP, index,
					       TC_H_MAKE(TC_H_CLSACT, minor));
	struct filter_walk walk = { fn, context };

	return netlink_dump(NETLINK_ROUTE, &request, sizeof(request), on_message, &walk);
}

static void note_filter(void *context, const struct nlmsghdr *message)
{
	bool *found = context;

	(void)message;
	*found = true;
}

/* Has anybody a filter there? An answer that does not come counts as yes. */
static bool has_filters(uint32_t index, enum tc_way way)
{
	bool found = false;

	return tc_each_filter(index, way, note_filter, &found) < 0 || found;
}

static void remove_filter(uint32_t index, enum tc_way way, struct kern_inline_detached *counts)
{
	uint32_t priority = find_ours(index, way);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = priority);
	struct bpf_tc_hook hook = hook_of(index, way);

	if (priority && bpf_tc_detach(&hook, &opts) == 0)
		counts->programs++;
}

void tc_remove(uint32_t index, bool qdisc, struct kern_inline_detached *counts)
{
	struct bpf_tc_hook hook = hook_of(index, TC_IN);

	remove_filter(index, TC_IN, counts);
	remove_filter(index, TC_OUT, counts);
	if (!qdisc || has_filters(index, TC_IN) || has_filters(index, TC_OUT))
		return;
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	if (bpf_tc_hook_destroy(&hook) == 0)
		counts->qdiscs++;
}
