// SPDX-License-Identifier: BSD-2-Clause
#include "doctor/owner.h"

#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/caps.h"
#include "base/cleanup.h"
#include "base/netlink.h"
#include "doctor/text.h"

#define STATE_LISTEN 10 /* TCP_LISTEN of the kernel */

static int add(struct listenings *all, const struct listening *one)
{
	struct listening *more = reallocarray(all->list, all->n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	all->list = more;
	more[all->n++] = *one;
	return 0;
}

static bool is_v6only(const struct nlmsghdr *message)
{
	const struct rtattr *attr = netlink_attr(message, sizeof(struct inet_diag_msg),
						 INET_DIAG_SKV6ONLY);

	return attr && *(const uint8_t *)RTA_DATA(attr) != 0;
}

static struct listening read_one(const struct nlmsghdr *message)
{
	const struct inet_diag_msg *diag = NLMSG_DATA(message);
	struct listening one = { .inode = diag->idiag_inode, .uid = diag->idiag_uid };
	struct sockaddr_in sa4 = { .sin_family = AF_INET, .sin_port = diag->id.idiag_sport };
	struct sockaddr_in6 sa6 = { .sin6_family = AF_INET6, .sin6_port = diag->id.idiag_sport };

	if (diag->idiag_family == AF_INET) {
		memcpy(&sa4.sin_addr, diag->id.idiag_src, sizeof(sa4.sin_addr));
		addr_from_sockaddr(&one.addr, (const struct sockaddr *)&sa4);
	} else {
		memcpy(&sa6.sin6_addr, diag->id.idiag_src, sizeof(sa6.sin6_addr));
		addr_from_sockaddr(&one.addr, (const struct sockaddr *)&sa6);
		one.v6only = is_v6only(message);
	}
	return one;
}

static int on_socket(void *context, const struct nlmsghdr *message)
{
	struct listening one = read_one(message);

	return add(context, &one);
}

static int read_family(uint8_t family, struct listenings *ret)
{
	const struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} request = {
		.head = { .nlmsg_len = sizeof(request),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .sdiag_family = family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = 1U << STATE_LISTEN },
	};

	return netlink_dump(NETLINK_SOCK_DIAG, &request, sizeof(request), on_socket, ret);
}

int listenings_read(struct listenings *ret)
{
	int err = read_family(AF_INET, ret);

	return err ? err : read_family(AF_INET6, ret);
}

void listenings_free(struct listenings *listenings)
{
	free(listenings->list);
	*listenings = (struct listenings){ 0 };
}

/* Would both want the same connections? */
static bool collide(const struct listening *one, const struct up_addr *addr)
{
	if (one->addr.port != addr->port)
		return false;
	if (one->v6only && addr->family == UP_FAMILY_IPV4)
		return false;
	return addr_covers(&one->addr, addr) || addr_covers(addr, &one->addr);
}

const struct listening *listenings_find(const struct listenings *listenings,
					const struct up_addr *addr)
{
	for (size_t i = 0; i < listenings->n; i++) {
		if (collide(&listenings->list[i], addr))
			return &listenings->list[i];
	}
	return NULL;
}

/* Has a process a descriptor of that name ("socket:[123]")? */
static bool holds(const char *pid, const char *wanted)
{
	char path[300], target[64];
	struct dirent *entry;
	bool found = false;
	DIR *fds;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	fds = opendir(path);
	if (!fds)
		return false;
	while (!found && (entry = readdir(fds))) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	(void)closedir(fds);
	return found;
}

void owner_find(const struct listening *listening, struct owner *ret)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char wanted[40], path[64];

	*ret = (struct owner){ .name = "?" };
	(void)snprintf(wanted, sizeof(wanted), "socket:[%u]", listening->inode);
	while (proc && (entry = readdir(proc))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    !holds(entry->d_name, wanted))
			continue;
		ret->pid = (pid_t)strtol(entry->d_name, NULL, 10);
		(void)snprintf(path, sizeof(path), "/proc/%d/comm", ret->pid);
		(void)text_read(path, ret->name, sizeof(ret->name));
		ret->ours = strcmp(ret->name, "unproxy") == 0;
		break;
	}
	if (proc)
		(void)closedir(proc);
}

bool owner_is_hidden(const struct owner *owner)
{
	return owner->pid == 0 && !(caps_held() & CAPS_BIT(CAP_SYS_PTRACE));
}

static bool is_same(const void *context, const struct up_addr *addr)
{
	const struct up_addr *other = context;

	return memcmp(addr->ip, other->ip, sizeof(addr->ip)) == 0;
}

bool addr_is_local(const struct up_addr *addr)
{
	struct up_addr found;

	return addr_is_loopback(addr) || addr_local_find(UP_FAMILY_NONE, is_same, addr, &found);
}

bool addr_local_find(enum up_family family,
		     bool (*fn)(const void *context, const struct up_addr *addr),
		     const void *context, struct up_addr *ret)
{
	struct ifaddrs *all = NULL;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (struct ifaddrs *at = all; at && !found; at = at->ifa_next) {
		if (!at->ifa_addr)
			continue;
		addr_from_sockaddr(ret, at->ifa_addr);
		ret->port = 0;
		found = ret->family != UP_FAMILY_NONE &&
			(family == UP_FAMILY_NONE || ret->family == family) && fn(context, ret);
	}
	freeifaddrs(all);
	return found;
}
