/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets that the service manager has opened, LISTEN_FDS (systemd.socket(5)). */
#ifndef DAEMON_ACTIVATION_H
#define DAEMON_ACTIVATION_H

#include "base/inherited.h"
#include "conf/conf.h"
#include "daemon/store.h"

/* Take all there are over. Those of enum store_part that it has kept of an earlier daemon go to
 * kept, -1 where there is none. Each other one must be one that a listener binds, and, where it bears a
 * listener's name, that listener: what nobody would serve is refused. Says what is wrong. 0 or
 * -errno; *ret is to be freed either way. */
int activation_take(const struct conf *conf, struct inherited *ret, int kept[STORE_PART__MAX]);

#endif
