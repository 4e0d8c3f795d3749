/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls the daemon may make once it serves, seccomp(2). What nobody but a stranger
 * in the process asks for kills it; the rest that is not listed fails as if the kernel did not
 * have it. io_uring's operations pass no such filter: the rings are made before it, each tied
 * to the five it needs (loop/uring), and no more can be made after it.
 */
#ifndef DAEMON_FILTER_H
#define DAEMON_FILTER_H

#include <stdbool.h>

struct filter_params {
	bool bpf;     /* maps, links, pins */
	bool load;    /* new programs and maps, too */
	bool netlink; /* filters on interfaces */
};

/* For all threads there are and will be, for good; with it no_new_privs. 0 or -errno. */
int filter_load(const struct filter_params *params);

#endif
