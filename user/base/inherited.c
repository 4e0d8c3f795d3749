// SPDX-License-Identifier: BSD-2-Clause
#include "base/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -1 : value;
}

static bool is_wildcard(const struct up_addr *addr)
{
	static const uint8_t zero[16];

	return memcmp(addr->ip, zero, sizeof(zero)) == 0;
}

/* What keeps fd from being one, or NULL. */
static const char *look_at(int fd, struct up_addr *ret)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	int type = option(fd, SOL_SOCKET, SO_TYPE);

	if (type < 0)
		return "no socket";
	if (type != SOCK_STREAM || getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
	    (sa.ss_family != AF_INET && sa.ss_family != AF_INET6))
		return "no TCP socket";
	if (option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		return "a socket that does not listen";
	addr_from_sockaddr(ret, (struct sockaddr *)&sa);
	if (sa.ss_family == AF_INET6 && is_wildcard(ret) &&
	    option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1)
		return "a socket for IPv6 alone, where both families are listened to "
		       "(BindIPv6Only=both)";
	return NULL;
}

int inherited_add(struct inherited *inherited, int fd, char *why, size_t why_size)
{
	struct inherited_socket socket = { .fd = fd }, *more;
	const char *wrong = look_at(fd, &socket.addr);
	int flags = fcntl(fd, F_GETFL);

	if (wrong) {
		(void)snprintf(why, why_size, "%s", wrong);
		return -EINVAL;
	}
	more = reallocarray(inherited->sockets, inherited->n + 1, sizeof(*more));
	if (!more || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		(void)snprintf(why, why_size, "%s", strerror(more ? errno : ENOMEM));
		inherited->sockets = more ? more : inherited->sockets;
		return more ? -errno : -ENOMEM;
	}
	more[inherited->n++] = socket;
	inherited->sockets = more;
	return 0;
}

size_t inherited_count(const struct inherited *inherited, const struct up_addr *addr)
{
	size_t n = 0;

	for (size_t i = 0; i < inherited->n; i++)
		n += addr_equal(&inherited->sockets[i].addr, addr);
	return n;
}

int inherited_take(const struct inherited *inherited, const struct up_addr *addr, size_t nth)
{
	size_t count = inherited_count(inherited, addr), at = count ? nth % count : 0;

	for (size_t i = 0; i < inherited->n; i++) {
		int fd;

		if (!addr_equal(&inherited->sockets[i].addr, addr) || at-- > 0)
			continue;
		fd = fcntl(inherited->sockets[i].fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

void inherited_free(struct inherited *inherited)
{
	for (size_t i = 0; i < inherited->n; i++)
		(void)close(inherited->sockets[i].fd);
	free(inherited->sockets);
	*inherited = (struct inherited){ 0 };
}
