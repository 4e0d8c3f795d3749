/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inline engine: programs on interfaces, told what to do by maps, and their events as
 * lines of the client log. It never sees a byte of payload, and connections go on without it.
 * Runs in the main thread's loop.
 */
#ifndef INLINE_INLINE_H
#define INLINE_INLINE_H

#include "client/log.h"
#include "conf/conf.h"
#include "inline/policy.h"
#include "kern/hook.h"
#include "loop/loop.h"
#include "obs/stats.h"

struct events;
struct inline_engine;
struct kern_inline;

struct inline_params {
	const struct conf *conf;
	struct loop *loop;
	struct client_log *log; /* NULL: no client log */
	unsigned log_queue;     /* this engine's own queue of it */
	int deny_fd;            /* of deny_map_fd() */
	policy_drained_fn *drained;
	void *context;            /* ... for that */
	struct conf_error *error; /* where to leave what is wrong, or NULL */
};

/* Load, take over what an earlier daemon left, attach, begin to log. Says itself what
 * fails. Returns 0 and gives *ret to the caller, or -errno with *ret untouched. */
int inline_start(const struct inline_params *params, struct inline_engine **ret);

/* Go by another configuration's listeners from now on, drained ones included, and put the
 * programs on the interfaces that came with it; established connections are left alone. Without
 * a listener the last flow's end takes all off the host, and the next listener puts it there again.
 * conf is referred to until the next. 0, or -errno with *error filled: nothing has changed. */
int inline_reload(struct inline_engine *engine, const struct conf *conf, struct conf_error *error);

/* Its address hook; NULL: off, or no engine. */
const struct kern_hook *inline_hook(const struct inline_engine *engine);

/* What the engine counts, and how full its table is. Walks over the table, if the last walk
 * is long enough ago; figures of open connections are those of then. NULL is allowed. */
void inline_stats(struct inline_engine *engine, struct stats *ret);

/* Of the listener of ret's name. */
void inline_listener_stats(const struct inline_engine *engine, struct stats_listener *ret);

/* Log what has ended until now and let go; the programs stay, unless conf->detach_on_exit.
 * NULL is allowed. */
void inline_stop(struct inline_engine *engine);

/* As inline_stop(), for a start that came to nothing: what was there before inline_start() stays,
 * what was not does not. */
void inline_undo(struct inline_engine *engine);

/* As inline_stop(), for another daemon that goes on: the programs stay in any case. */
void inline_leave(struct inline_engine *engine);

/* What it has to tell of its connections; no maps: it rests. */
const struct kern_inline *inline_kern(const struct inline_engine *engine);
const struct events *inline_events(const struct inline_engine *engine);

#endif
