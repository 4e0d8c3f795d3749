// SPDX-License-Identifier: BSD-2-Clause
/* Names of interfaces, from the routes and by name. Does not log. */
#include "inline/interfaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/netlink.h"

/* linux/if_arp.h has them, and cannot be included beside net/if_arp.h. */
#ifndef ARPHRD_RAWIP
#define ARPHRD_RAWIP 519
#endif
#ifndef ARPHRD_NONE
#define ARPHRD_NONE 0xFFFE
#endif
#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823
#endif

/* RTF_REJECT of linux/route.h: a route that refuses, on lo as a rule. */
#define FLAG_REJECT 0x0200u

/* Is an IP packet of such a device preceded by an Ethernet header? -1: neither is known. */
static int has_ethernet(unsigned kind)
{
	switch (kind) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return 1;
	case ARPHRD_NONE:
	case ARPHRD_RAWIP:
	case ARPHRD_PPP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_IP6GRE:
		return 0;
	default:
		return -1;
	}
}

int interface_find(const char *name, struct kern_interface *ret, unsigned *ret_kind)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };
	int ethernet;

	if (fd < 0)
		return -errno;
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFINDEX, &request) < 0)
		return -errno;
	ret->index = (uint32_t)request.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return -errno;
	*ret_kind = request.ifr_hwaddr.sa_family;
	ethernet = has_ethernet(*ret_kind);
	if (ethernet < 0)
		return -EOPNOTSUPP;
	ret->ethernet = ethernet;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	return 0;
}

/* What RTM_GETLINK says of an interface. */
static bool ask_link(uint32_t index, struct nlmsghdr *answer, size_t room)
{
	const struct {
		struct nlmsghdr head;
		struct ifinfomsg link;
	} request = {
		.head = { .nlmsg_len = sizeof(request),
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = NLM_F_REQUEST },
		.link = { .ifi_index = (int)index },
	};

	return netlink_ask(NETLINK_ROUTE, &request, sizeof(request), answer, room) > 0 &&
	       answer->nlmsg_type == RTM_NEWLINK;
}

bool interface_master(uint32_t index, char ret_name[CONF_INTERFACE_MAX])
{
	struct nlmsghdr link[32768 / sizeof(struct nlmsghdr)];
	const struct rtattr *master, *kind;
	uint32_t master_index;

	if (!ask_link(index, link, sizeof(link)))
		return false;
	master = netlink_attr(link, sizeof(struct ifinfomsg), IFLA_MASTER);
	if (!master)
		return false;
	kind = netlink_nested(netlink_attr(link, sizeof(struct ifinfomsg), IFLA_LINKINFO),
			      IFLA_INFO_SLAVE_KIND);
	if (kind && strcmp(RTA_DATA(kind), "vrf") == 0)
		return false;
	memcpy(&master_index, RTA_DATA(master), sizeof(master_index));
	return if_indextoname(master_index, ret_name) != NULL;
}

bool interface_names_hold(const struct interface_names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->names[i].name, name) == 0)
			return true;
	}
	return false;
}

int interface_names_add(struct interface_names *names, const char *name, size_t len)
{
	char copy[CONF_INTERFACE_MAX] = "";
	struct conf_interface *more;

	if (len == 0 || len >= sizeof(copy))
		return 0;
	memcpy(copy, name, len);
	if (interface_names_hold(names, copy))
		return 0;
	more = reallocarray(names->names, names->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	names->names = more;
	memcpy(more[names->n++].name, copy, sizeof(copy));
	return 0;
}

void interface_names_remove(struct interface_names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->names[i].name, name) == 0)
			names->names[i] = names->names[--names->n];
	}
}

void interface_names_free(struct interface_names *names)
{
	free(names->names);
	*names = (struct interface_names){ 0 };
}

/* "eth0\t00000000\t...": a heading, then a route a line, its interface first. */
int interface_names_ipv4(struct interface_names *names, const char *text)
{
	const char *line = strchr(text, '\n');
	int r = 0;

	for (; r == 0 && line && line[1]; line = strchr(line + 1, '\n')) {
		const char *word = line + 1;

		if (*word != '*') /* a route that refuses has no interface */
			r = interface_names_add(names, word, strcspn(word, " \t\n"));
	}
	return r;
}

/* A route a line: ten words, the last its interface, before it the flags. */
int interface_names_ipv6(struct interface_names *names, const char *text)
{
	int r = 0;

	while (r == 0 && *text) {
		char line[256], name[64];
		unsigned flags;
		const char *end = strchr(text, '\n');

		(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %x %63s", &flags, name) == 2 &&
		    !(flags & FLAG_REJECT))
			r = interface_names_add(names, name, strlen(name));
		if (!end)
			break;
		text = end + 1;
	}
	return r;
}

/* The whole file, NUL-terminated; the caller frees it. NULL: no such file (no IPv6), or no
 * memory. */
static char *read_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len = 0;

	for (ssize_t n = 1; fd >= 0 && n > 0; len += (size_t)n) {
		char *more = realloc(text, len + 65537);

		if (!more)
			break;
		text = more;
		n = read(fd, text + len, 65536);
		if (n < 0)
			n = 0;
		text[len + (size_t)n] = '\0';
	}
	return text;
}

int interface_names_default(struct interface_names *names)
{
	_cleanup_free_ char *ipv4 = read_file("/proc/thread-self/net/route");
	_cleanup_free_ char *ipv6 = read_file("/proc/thread-self/net/ipv6_route");
	int r = ipv4 ? interface_names_ipv4(names, ipv4) : 0;

	if (r == 0 && ipv6)
		r = interface_names_ipv6(names, ipv6);
	for (size_t i = 0; r == 0 && i < names->n;) {
		char master[CONF_INTERFACE_MAX];

		if (interface_master(if_nametoindex(names->names[i].name), master))
			names->names[i] = names->names[--names->n];
		else
			i++;
	}
	return r < 0 ? r : interface_names_add(names, "lo", 2);
}
