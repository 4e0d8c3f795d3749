// SPDX-License-Identifier: BSD-2-Clause
#include "base/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"

int socket_set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int socket_set_keepalive(int fd, uint32_t seconds)
{
	int interval = seconds >= 4 ? (int)(seconds / 4) : 1;
	int err;

	if (!seconds)
		return 0;
	err = socket_set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (!err)
		err = socket_set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)seconds);
	if (!err)
		err = socket_set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
	if (!err)
		err = socket_set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
	return err;
}

static int open_for(const struct up_addr *addr, struct sockaddr_storage *ret_sa, socklen_t *ret_len)
{
	int fd;

	*ret_len = addr_to_sockaddr(addr, ret_sa);
	if (!*ret_len)
		return -EAFNOSUPPORT;
	fd = socket(ret_sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static int bind_to(const struct up_addr *addr, bool shared)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage sa;
	socklen_t len;
	int err;

	fd = open_for(addr, &sa, &len);
	if (fd < 0)
		return fd;
	err = socket_set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!err && shared)
		err = socket_set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!err && sa.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&sa;

		err = socket_set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY,
				     !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr));
	}
	if (err)
		return err;
	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	return take_fd(&fd);
}

int socket_bind(const struct up_addr *addr)
{
	return bind_to(addr, true);
}

int socket_try(const struct up_addr *addr)
{
	_cleanup_close_ int fd = bind_to(addr, false);

	return fd < 0 ? fd : 0;
}

int socket_listen_alone(const struct up_addr *addr, int backlog)
{
	_cleanup_close_ int fd = bind_to(addr, false);

	if (fd < 0)
		return fd;
	return listen(fd, backlog) < 0 ? -errno : take_fd(&fd);
}

int socket_listen(const struct up_addr *addr, int backlog)
{
	_cleanup_close_ int fd = socket_bind(addr);

	if (fd < 0)
		return fd;
	return listen(fd, backlog) < 0 ? -errno : take_fd(&fd);
}

int socket_for(const struct up_addr *addr)
{
	struct sockaddr_storage sa;
	socklen_t len;

	return open_for(addr, &sa, &len);
}

int socket_start(int fd, const struct up_addr *addr, bool data_follows)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(addr, &sa);

	if (data_follows)
		(void)socket_set_int(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
	return connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS ? -errno : 0;
}

int socket_connect(const struct up_addr *addr, bool data_follows)
{
	_cleanup_close_ int fd = socket_for(addr);
	int err = fd < 0 ? fd : socket_start(fd, addr, data_follows);

	return err ? err : take_fd(&fd);
}

int socket_set_loud(int fd, bool loud)
{
	struct linger linger = { .l_onoff = loud, .l_linger = 0 };

	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0 ? -errno : 0;
}

void socket_reset(int fd)
{
	(void)socket_set_loud(fd, true);
	(void)close(fd);
}

void socket_end(int fd)
{
	(void)socket_set_loud(fd, false);
	(void)close(fd);
}

int socket_peer(int fd, uint8_t family, struct up_addr *ret)
{
	struct sockaddr_storage sa;
	/* Exactly: it refuses to be asked for more than there is. */
	socklen_t len = family == UP_FAMILY_IPV4 ? sizeof(struct sockaddr_in)
						 : sizeof(struct sockaddr_in6);

	/* getpeername() would say ENOTCONN after a RST; this tells what accept() does. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &sa, &len) < 0)
		return -errno;
	addr_from_sockaddr(ret, (struct sockaddr *)&sa);
	return 0;
}

ssize_t socket_send(int fd, const void *data, size_t n, int flags)
{
	ssize_t sent;

	do
		sent = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

int socket_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return -err;
}

uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

int socket_path(const char *path, struct sockaddr_un *ret)
{
	size_t len = strlen(path);

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, len + 1);
	return 0;
}
