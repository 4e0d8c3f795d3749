/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the address hook drive: connections in a cgroup of the test's own, with
 * pins of its own, so that neither the host's other sockets nor a daemon on it matter.
 */
#ifndef TESTS_BPF_HOOKS_H
#define TESTS_BPF_HOOKS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "kern/hook.h"

#define HOOK_TEST_PINS "/sys/fs/bpf/unproxy-test"

/* The cgroup's descriptor and path; the test's process is in it. */
extern int hook_cgroup;
extern char hook_cgroup_path[320];

/* cmocka group fixtures. */
int hooks_set_up(void **state);
int hooks_tear_down(void **state);

/* Move the calling process out of the test's cgroup. 0 or -errno. */
int hooks_leave(void);

/* Opens, or fails the test with why. */
struct kern_hook *hook_open(const struct kern_hook_params *params);
struct kern_hook *hook_open_relay(void);

/* The relay's: made and closed for each test by these fixtures. */
extern struct kern_hook *hook;
int hook_set_up(void **state);
int hook_tear_down(void **state);

/* As the relay does it. The sockets do not block. */
int socket_named(const struct up_addr *server, const char *client);
int connect_for(const struct up_addr *server, const char *client);

struct up_hook_stats hook_stats_now(void);

/* Entries in the map of that name. */
unsigned handshakes(void);
void wait_for_no_handshake(void);

struct up_addr addr_of(const char *text);

/* A listening socket on a port of the kernel's choice, which *addr gets. Dual-stack if both. */
int listen_on(const char *ip, bool both, struct up_addr *ret);

/* accept4() with the address it returned. */
int accept_from(int listener, struct up_addr *ret_peer);

struct up_addr peer_of(int fd);

/* What the client's end of fd is in truth. */
struct up_addr local_of(int fd);

#define assert_addr(addr, text)                           \
	do {                                              \
		struct up_addr _got = (addr);             \
		char _text[ADDR_TEXT_MAX];                \
		addr_format(&_got, _text, sizeof(_text)); \
		assert_string_equal(_text, text);         \
	} while (0)

#define assert_same_addr(one, other)                        \
	do {                                                \
		struct up_addr _other = (other);            \
		char _want[ADDR_TEXT_MAX];                  \
		addr_format(&_other, _want, sizeof(_want)); \
		assert_addr(one, _want);                    \
	} while (0)

/* Programs attached to the test's cgroup, by attach type. */
unsigned attached(unsigned type);

#endif
