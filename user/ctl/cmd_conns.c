// SPDX-License-Identifier: BSD-2-Clause
/*
 * conns and kill: a walk over all live connections, the relay's worker by worker, then those of
 * the inline engine. One batch at a time, and none while the client has enough to read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/commands.h"
#include "inline/walk.h"
#include "relay/walk.h"

struct conns {
	struct ctl_request *request;
	struct relay_walk *relay;      /* NULL: over */
	struct inline_engine **engine; /* NULL: over; *engine may go with a reload */
	struct inline_walk walk;
	struct loop_timer next; /* the next step of it */
	struct record_formatter formatter;
	struct loop_deferred deferred;
	json_t *data; /* of kill's answer, besides what was killed */
	uint64_t killed;
	char *text; /* of one connection */
	size_t room;
	bool short_of_memory; /* not all could be shown */
};

static void destroy(struct loop_deferred *deferred)
{
	free(container_of(deferred, struct conns, deferred));
}

/* The loop may be about to look at its timer once more. */
static void conns_free(struct conns *conns)
{
	struct loop *loop = conns->request->context->loop;

	loop_timer_cancel(loop, &conns->next);
	relay_walk_free(conns->relay);
	json_decref(conns->data);
	free(conns->text);
	conns->deferred.destroy = destroy;
	loop_defer(loop, &conns->deferred);
}

static void on_cancel(struct ctl_request *request)
{
	conns_free(request->state);
}

static void show(void *context, const struct conn *conn)
{
	struct conns *conns = context;
	size_t need = conn_format_bound(conn);

	if (need > conns->room) {
		char *text = realloc(conns->text, need);

		if (!text) {
			conns->short_of_memory = true;
			return;
		}
		conns->text = text;
		conns->room = need;
	}
	(void)conn_format(&conns->formatter, conn, conns->text);
	(void)ctl_item_text(conns->request, conns->text);
}

static int finish_kill(struct conns *conns)
{
	struct ctl_request *request = conns->request;
	json_t *data = TAKE_PTR(conns->data);

	(void)json_object_set_new(data, "killed",
				  json_integer((json_int_t)conns->killed +
					       (json_int_t)conns->walk.killed));
	if (conns->walk.out_of_reach)
		(void)json_object_set_new(data, "out_of_reach",
					  json_integer((json_int_t)conns->walk.out_of_reach));
	if (conns->walk.error)
		(void)json_object_set_new(data, "failed",
					  json_string(strerror(-conns->walk.error)));
	conns_free(conns);
	return ctl_reply(request, data);
}

/* A list that is not whole is no list: it ends as a refusal. */
static void finish_list(struct conns *conns)
{
	struct ctl_request *request = conns->request;
	int err = conns->short_of_memory ? -ENOMEM : conns->walk.error;

	conns_free(conns);
	if (err)
		(void)ctl_fail(request, "failed", "the list is not whole: %s", strerror(-err));
	else
		(void)ctl_end(request);
}

/* Ask for the next batch, or say that this was all. */
static void go_on(struct conns *conns)
{
	struct ctl_request *request = conns->request;

	if (request->paused)
		return;
	if (conns->relay && relay_walk_next(conns->relay))
		return;
	relay_walk_free(conns->relay);
	conns->relay = NULL;
	if (conns->engine) {
		(void)loop_timer_arm(request->context->loop, &conns->next, 0);
	} else if (conns->walk.kill) {
		(void)finish_kill(conns);
	} else {
		finish_list(conns);
	}
}

static void on_batch(struct relay_walk *walk)
{
	struct conns *conns = walk->context;

	if (walk->kill)
		conns->killed += walk->n;
	for (size_t i = 0; !walk->kill && i < walk->n; i++)
		show(conns, &walk->conns[i]);
	go_on(conns);
}

static void on_next(struct loop_timer *timer)
{
	struct conns *conns = container_of(timer, struct conns, next);

	if (!*conns->engine || !inline_walk_next(*conns->engine, &conns->walk))
		conns->engine = NULL;
	go_on(conns);
}

static void on_more(struct ctl_request *request)
{
	go_on(request->state);
}

/* How many filters there are, or -EINVAL. */
static int read_filter(struct ctl_request *request, struct conn_filter *filter, char *why,
		       size_t size)
{
	const char *name;
	json_t *value;
	int n = 0;

	json_object_foreach (request->args, name, value) {
		if (strcmp(name, "v") == 0 || strcmp(name, "id") == 0 || strcmp(name, "cmd") == 0 ||
		    strcmp(name, "all") == 0)
			continue;
		if (conn_filter_set(filter, name, json_string_value(value) ?: "", why, size) < 0)
			return -EINVAL;
		n++;
	}
	return n;
}

static struct relay_walk *relay_walk_new(struct conns *conns)
{
	struct relay_walk *walk = calloc(1, sizeof(*walk));

	if (!walk)
		return NULL;
	walk->relay = conns->request->context->relay;
	walk->filter = conns->walk.filter;
	walk->kill = conns->walk.kill;
	walk->fn = on_batch;
	walk->context = conns;
	return walk;
}

/* data: kill them, and answer with it; NULL: list them. Taken, unless this fails. */
static int begin(struct ctl_request *request, const struct conn_filter *filter, json_t *data)
{
	_cleanup_free_ struct conns *conns = calloc(1, sizeof(*conns));

	if (!conns)
		return -ENOMEM;
	conns->request = request;
	conns->next.fn = on_next;
	conns->walk = (struct inline_walk){
		.filter = *filter, .kill = data, .fn = show, .context = conns
	};
	if (!filter->has_engine || filter->engine == CONF_ENGINE_RELAY) {
		conns->relay = relay_walk_new(conns);
		if (!conns->relay)
			return -ENOMEM;
	}
	if (!filter->has_engine || filter->engine == CONF_ENGINE_INLINE)
		conns->engine = request->context->engine;
	conns->data = data;
	request->state = conns;
	request->cancel = on_cancel;
	request->more = on_more;
	go_on(TAKE_PTR(conns));
	return 0;
}

int ctl_kill(struct ctl_request *request, const struct conn_filter *filter, json_t *data)
{
	int err = data ? begin(request, filter, data) : -ENOMEM;

	if (err)
		json_decref(data);
	return err;
}

int ctl_cmd_conns(struct ctl_request *request)
{
	struct conn_filter filter = { 0 };
	char why[160];

	if (read_filter(request, &filter, why, sizeof(why)) < 0)
		return ctl_fail(request, "bad_request", "%s", why);
	return begin(request, &filter, NULL);
}

int ctl_cmd_kill(struct ctl_request *request)
{
	struct conn_filter filter = { 0 };
	char why[160];
	int n = read_filter(request, &filter, why, sizeof(why));

	if (n < 0)
		return ctl_fail(request, "bad_request", "%s", why);
	if (n == 0 && !json_is_true(json_object_get(request->args, "all")))
		return ctl_fail(request, "bad_request",
				"kill wants a filter; \"all\":true ends every connection");
	return ctl_kill(request, &filter, json_object());
}
