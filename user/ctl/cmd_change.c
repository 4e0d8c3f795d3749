// SPDX-License-Identifier: BSD-2-Clause
/* reload, backend, listener, drain, ready, store: what user/change does, asked for. */
#include <errno.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "change/change.h"
#include "ctl/commands.h"

#define WEIGHT_MAX 256

static int fail(struct ctl_request *request, int err, const struct conf_error *error)
{
	static const struct {
		int err;
		const char *name;
	} names[] = {
		{ -ENOENT, "not_found" }, { -EEXIST, "exists" },      { -ENOSPC, "full" },
		{ -EINVAL, "refused" },   { -ESHUTDOWN, "stopping" }, { -EADDRINUSE, "in_use" },
		{ -EBUSY, "busy" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].err == err)
			return ctl_fail(request, names[i].name, "%s", error->text);
	}
	return ctl_fail(request, "failed", "%s", error->text);
}

int ctl_cmd_reload(struct ctl_request *request)
{
	struct conf_error error;
	json_t *report = NULL;
	int err = change_reload(request->context->change, &report, &error);

	if (err == -ESHUTDOWN || err == -EBUSY)
		return fail(request, err, &error);
	if (err)
		return ctl_fail(request, "refused", "%s", error.text);
	return ctl_reply(request, report);
}

/* ADDR:PORT of a server. */
static int read_server(const struct ctl_request *request, struct conf_server *ret)
{
	static const struct up_addr any = { .family = UP_FAMILY_IPV6 };
	const char *text = ctl_text(request, "server");

	if (!text || addr_parse(text, &ret->addr) || !ret->addr.port ||
	    memcmp(ret->addr.ip, any.ip, sizeof(any.ip)) == 0)
		return -EINVAL;
	return 0;
}

/* Not said: 1. */
static int read_weight(const struct ctl_request *request, bool needed, struct conf_server *ret)
{
	const json_t *weight = json_object_get(request->args, "weight");
	json_int_t value = weight ? json_integer_value(weight) : !needed;

	if (value < 1 || value > WEIGHT_MAX)
		return -EINVAL;
	ret->weight = (uint32_t)value;
	return 0;
}

static int read_action(const struct ctl_request *request, enum pool_action *ret)
{
	static const struct {
		const char *name;
		enum pool_action action;
	} actions[] = {
		{ "add", POOL_ADD },       { "remove", POOL_REMOVE }, { "drain", POOL_DRAIN },
		{ "ready", POOL_UNDRAIN }, { "weight", POOL_WEIGH },
	};
	const char *name = ctl_text(request, "action");

	for (size_t i = 0; name && i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, name) != 0)
			continue;
		*ret = actions[i].action;
		return 0;
	}
	return -EINVAL;
}

int ctl_cmd_backend(struct ctl_request *request)
{
	const char *backend = ctl_text(request, "backend");
	struct conf_server server = { 0 };
	struct conf_error error;
	enum pool_action action;
	int err;

	if (!backend)
		return ctl_fail(request, "bad_request", "backend: the name of one is expected");
	if (read_action(request, &action))
		return ctl_fail(request, "bad_request",
				"action: expected add, remove, drain, ready or weight");
	if (read_server(request, &server))
		return ctl_fail(request, "bad_request",
				"server: expected ADDR:PORT, such as 127.0.0.1:3000");
	if (read_weight(request, action == POOL_WEIGH, &server))
		return ctl_fail(request, "bad_request", "weight: expected 1 to %d", WEIGHT_MAX);
	err = change_server(request->context->change, backend, action, &server, &error);
	return err ? fail(request, err, &error) : ctl_reply(request, NULL);
}

int ctl_cmd_listener(struct ctl_request *request)
{
	const char *listener = ctl_text(request, "listener"), *action = ctl_text(request, "action");
	struct conf_error error;
	int err;

	if (!listener)
		return ctl_fail(request, "bad_request", "listener: the name of one is expected");
	if (!action || (strcmp(action, "drain") != 0 && strcmp(action, "ready") != 0))
		return ctl_fail(request, "bad_request", "action: expected drain or ready");
	err = change_listener(request->context->change, listener, action[0] == 'd', &error);
	return err ? fail(request, err, &error) : ctl_reply(request, NULL);
}

static int set_host(struct ctl_request *request, bool drain)
{
	struct conf_error error;
	int err = change_host(request->context->change, drain, &error);

	return err ? fail(request, err, &error) : ctl_reply(request, NULL);
}

int ctl_cmd_drain(struct ctl_request *request)
{
	return set_host(request, true);
}

int ctl_cmd_ready(struct ctl_request *request)
{
	return set_host(request, false);
}

int ctl_cmd_store(struct ctl_request *request)
{
	struct ctl_context *context = request->context;
	char why[256] = "";

	if (context->store(context->store_owner, why, sizeof(why)))
		return ctl_fail(request, "refused", "%s", why);
	return ctl_reply(request, NULL);
}
