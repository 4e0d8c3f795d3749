/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon gives up when all that takes a privilege has been done: capabilities, its
 * user, new privileges, system calls. Which ones it keeps, and why: docs/privileges.md.
 */
#ifndef DAEMON_PRIVILEGES_H
#define DAEMON_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/caps.h"
#include "conf/conf.h"
#include "inline/inline.h"
#include "relay/relay.h"

struct privileges {
	bool change_user;
	uid_t uid;
	gid_t gid;
	caps_set log_caps;              /* of the client log's writer */
	char text[CAPS_TEXT_MAX + 128]; /* of the line `ready`, from privileges_enter() on */
};

/* Look up user and group while nothing has been opened yet. Says what fails. 0 or -errno. */
int privileges_prepare(const struct conf *conf, struct privileges *ret);

/* Before there are other threads. Says itself what fails; 0, or -errno: the daemon must not
 * go on. */
int privileges_enter(struct privileges *privileges, const struct conf *conf, struct relay *relay,
		     const struct inline_engine *engine);

#endif
