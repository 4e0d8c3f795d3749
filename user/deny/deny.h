/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clients that are refused: one list for both engines, of what people say at the control
 * socket and of what deny_file says. The relay asks it here; the kernel has a copy for the inline
 * engine's programs, which is also what the next daemon begins with.
 *
 * All is called by the main thread, but for deny_refuses() and deny_would_refuse().
 */
#ifndef DENY_DENY_H
#define DENY_DENY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/deny_file.h"
#include "loop/loop.h"

struct deny;

struct deny_params {
	struct loop *loop;
	const char *file;  /* NULL: none */
	uint32_t entries;  /* there is room for, of both kinds */
	bool needs_kernel; /* there are programs that ask it */
	const char *pin_root;
};

/* Take over what an earlier daemon was told, read the file. Says itself what fails. Returns 0 and
 * gives *ret to the caller, or -errno: the file is bad, or there is no map and it is needed. */
int deny_start(const struct deny_params *params, struct deny **ret);

/* What people said is kept for the next daemon, if it can be. Behind inline_stop(). NULL is
 * allowed. */
void deny_stop(struct deny *deny);

/* Leave the kernel's list to another daemon that takes over; the relay goes on by the memory's.
 * Behind inline_leave(). And have it again, with all that is said here: 0 or -errno. */
void deny_let_go(struct deny *deny);
int deny_take_back(struct deny *deny);

/* Its pins may be removed by uid, who the process is about to become. NULL is allowed. */
void deny_give(const struct deny *deny, uid_t uid, gid_t gid);

/* The map for the programs; -1: there is none. */
int deny_map_fd(const struct deny *deny);

/* Is this client refused? From any thread; counts. */
bool deny_refuses(struct deny *deny, const uint8_t ip[16]);

/* The same of a connection that is there already: nothing is counted. */
bool deny_would_refuse(struct deny *deny, const uint8_t ip[16]);

/* Say something of a network, in place of what was said before; the file's word stays behind
 * it. -ENOSPC: full; -ETIME: it would be over already; else -errno. */
int deny_add(struct deny *deny, const struct deny_rule *rule);

/* Take back what was said. -ENOENT: nothing was; -EROFS: the file says it, and only the file
 * can take it back. */
int deny_del(struct deny *deny, const struct cidr *cidr);

/* Another file, or the same again; NULL: none. Read and judged whole, and then put in place of
 * what the file said before: 0 and *ret for one of the two, or -errno, why, and nothing has
 * changed. Nothing else may be called between. */
struct deny_reload;
int deny_reload_prepare(const struct deny *deny, const char *file, struct deny_reload **ret,
			char *why, size_t why_size);
void deny_reload_commit(struct deny *deny, struct deny_reload *reload);
void deny_reload_abort(struct deny_reload *reload); /* NULL is allowed */

enum deny_source { DENY_CONTROL, DENY_FILE, DENY_SOURCES };

/* What one of the two says of a network. */
struct deny_item {
	struct cidr cidr;
	enum up_deny_verdict verdict;
	uint64_t until_us; /* CLOCK_REALTIME; 0: for ever */
	uint64_t hits;     /* of the network, whoever said it */
};

/* Networks by number, 0 to deny_count() - 1: see deny_set_at(). False: that source says nothing
 * of it, now. */
size_t deny_count(const struct deny *deny);
bool deny_item(const struct deny *deny, size_t number, enum deny_source source,
	       struct deny_item *ret);

struct deny_stats {
	uint64_t entries[DENY_SOURCES];
	uint64_t room;
	uint64_t lookups; /* by the relay, with anything to look up */
	uint64_t refused; /* by the relay */
	bool kept;        /* what people say outlives the daemon */
};

void deny_stats(const struct deny *deny, struct deny_stats *ret);

#endif
