/* SPDX-License-Identifier: BSD-2-Clause */
/* Socket options as functions. No policy, no logging. */
#ifndef BASE_SOCKET_H
#define BASE_SOCKET_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "unproxy/addr.h"

/* setsockopt() of an int. 0 or -errno. */
int socket_set_int(int fd, int level, int option, int value);

/* Keepalive after `seconds` of silence, probes every seconds / 4 (at least one second),
 * dead after four. 0 seconds: nothing is set. Accepted sockets inherit it. 0 or -errno. */
int socket_set_keepalive(int fd, uint32_t seconds);

/* A TCP socket with SO_REUSEPORT for listen(2), bound, non-blocking; [::] takes IPv4 too.
 * Returns the descriptor or -errno. */
int socket_bind(const struct up_addr *addr);

/* Both in one: a listening socket. Returns the descriptor or -errno. */
int socket_listen(const struct up_addr *addr, int backlog);

/* Would socket_bind() be alone there? 0, or -EADDRINUSE: somebody listens, with SO_REUSEPORT or
 * without; another -errno: it would fail. */
int socket_try(const struct up_addr *addr);

/* As socket_listen(), and nobody else may listen there, too: not with SO_REUSEPORT. */
int socket_listen_alone(const struct up_addr *addr, int backlog);

/* A non-blocking TCP socket of the address' family. Returns the descriptor or -errno. */
int socket_for(const struct up_addr *addr);

/* connect(). data_follows: the handshake's last ACK may wait for it, one packet less. Returns
 * 0 or -errno; EINPROGRESS is not an error. */
int socket_start(int fd, const struct up_addr *addr, bool data_follows);

/* socket_for() and socket_start() in one. Returns the descriptor or -errno. */
int socket_connect(const struct up_addr *addr, bool data_follows);

/* What its close() tells the peer, also that of a process that dies: loud, a RST; else the end of the
 * stream, in order. Accepted sockets inherit it. 0 or -errno. */
int socket_set_loud(int fd, bool loud);

/* Close so that the peer gets a RST: loud where the stream is not whole. */
void socket_reset(int fd);

/* Close in order, though it was set loud. */
void socket_end(int fd);

/* The peer's address, also of a connection that has been reset. family: the socket's own,
 * enum up_family. 0 or -errno. */
int socket_peer(int fd, uint8_t family, struct up_addr *ret);

/* Send what fits at once, with these flags of send(), too: never waits. Bytes, or -errno. */
ssize_t socket_send(int fd, const void *data, size_t n, int flags);

/* What send() or recv() met passes: the socket is whole, and tried again. */
static inline bool socket_error_passes(int err)
{
	return err == EAGAIN || err == EINTR || err == ENOBUFS || err == ENOMEM;
}

/* No socket is to be had for now. */
static inline bool socket_none_left(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

/* The pending error, cleared: 0 or -errno. */
int socket_error(int fd);

/* The address of an AF_UNIX socket in the file system. 0 or -ENAMETOOLONG. */
int socket_path(const char *path, struct sockaddr_un *ret);

/* The unique number the kernel gives each socket; 0 on error. */
uint64_t socket_cookie(int fd);

#endif
