/* SPDX-License-Identifier: BSD-2-Clause */
/* A path in the file system that is a listening socket. */
#ifndef CTL_SOCKET_H
#define CTL_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

struct ctl_socket {
	int fd; /* -1: none */
	dev_t dev;
	ino_t ino; /* of the path's file: another daemon may have put its own there */
};

struct ctl_place {
	const char *path;
	gid_t gid; /* who may use it beside root; 0: nobody */
	int type;  /* SOCK_STREAM, SOCK_SEQPACKET */
	int taken; /* the socket that listens there, from the daemon before; -1: none */
};

/* As ctl_open(). A socket that was taken over is ours from then on, or closed: it needs neither a free
 * name nor the right to make one. *ret is untouched on failure. */
int ctl_socket_open(const struct ctl_place *place, struct ctl_socket *ret, char *why,
		    size_t why_size);

/* Close it and remove the file, if it is still this one's. */
void ctl_socket_close(struct ctl_socket *socket, const char *path);

/* Another process has it: the file stays. */
void ctl_socket_let_go(struct ctl_socket *socket);

#endif
