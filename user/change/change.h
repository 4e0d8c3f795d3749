/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a running daemon can be told to do otherwise: another configuration file, and single
 * things at run time. Each is done whole or not at all, by the main thread; what workers
 * are at is left alone.
 */
#ifndef CHANGE_CHANGE_H
#define CHANGE_CHANGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/change.h"
#include "conf/conf.h"
#include "inline/inline.h"
#include "obs/stats.h"
#include "relay/relay.h"

struct change {
	struct relay *relay;
	struct inline_engine **engine;
	struct loop *loop;
	/* Have what the relay needs for this configuration: workers, if there are none yet, and
	 * the address hook. 0 or -errno. */
	int (*provide_relay)(struct change *change, const struct conf *conf);
	unsigned log_queue;       /* of the inline engine */
	bool sandboxed;           /* what loads programs and makes rings has been given up */
	bool stopping;            /* the process is on its way out: no more changes */
	bool told;                /* another one has been told of all changes: no more for now */
	struct generation *first; /* until it is published, else NULL */
	bool host_drained;        /* said at run time: not ready, for whoever asks */
	struct stats_reload reloads;
};

/* Read the file again and go by it. 0 and *ret_report is the caller's, an object: generation,
 * added, removed (listeners), restart (keys), overridden (what was said at run time, and is no
 * more). Or -errno with *error filled, and nothing has changed. It says so in the log, either way. */
int change_reload(struct change *change, json_t **ret_report, struct conf_error *error);

/* Each of these is refused with -ESHUTDOWN where the process is on its way out, and with -EBUSY
 * while another one takes over. */

/* A server of a backend. 0, -ENOENT (no such backend or server), -EEXIST, -ENOSPC, -ENOMEM, or
 * -EINVAL (it is a listener of that backend), with *error filled. */
int change_server(struct change *change, const char *backend, enum pool_action action,
		  const struct conf_server *server, struct conf_error *error);

/* A drained listener takes no connections; those it has go on. 0, -ENOENT, or -errno: its
 * sockets could not be bound again, or the programs not told; with *error filled. */
int change_listener(struct change *change, const char *name, bool drain, struct conf_error *error);

/* Nothing changes but what readyz answers, so that balancers turn away. 0 or -errno with *error
 * filled. */
int change_host(struct change *change, bool drain, struct conf_error *error);

/* What differs from the configuration because it was said at run time: an array of texts, the
 * caller's. NULL: no memory. */
json_t *change_list(const struct change *change);

/* policy_drained_fn of a struct change; before the first generation nothing is drained. */
bool change_is_drained(void *change, const char *listener);

#endif
