/* SPDX-License-Identifier: BSD-2-Clause */
/* deny_add, deny_del, deny_list: which clients are refused. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client/conn.h"
#include "ctl/commands.h"
#include "ctl/message.h"
#include "deny/deny.h"

static const char *const verdicts[] = {
	[UP_DENY_NONE] = "none",
	[UP_DENY_REFUSE] = "deny",
	[UP_DENY_ALLOW] = "allow",
};

static const char *const sources[DENY_SOURCES] = {
	[DENY_CONTROL] = "control",
	[DENY_FILE] = "file",
};

static struct deny *deny_of(const struct ctl_request *request)
{
	return request->context->relay->deny;
}

/* Members of an answer: "until" only where there is an end. */
static json_t *describe(const struct cidr *cidr, enum up_deny_verdict verdict, uint64_t until_us)
{
	char network[CIDR_TEXT_MAX];
	json_t *object;

	(void)cidr_format(cidr, network, sizeof(network));
	object = json_pack("{s:s, s:s}", "cidr", network, "verdict", verdicts[verdict]);
	if (object && until_us)
		(void)json_object_set_new(object, "until", ctl_date(until_us));
	return object;
}

static bool would_refuse(void *deny, const uint8_t ip[16])
{
	return deny_would_refuse(deny, ip);
}

/* The clients of that network that are refused from now on: not those of an exception in it. */
static int kill_denied(struct ctl_request *request, const struct cidr *cidr, json_t *data)
{
	const struct conn_filter filter = {
		.has_client = true,
		.client = *cidr,
		.picks = would_refuse,
		.context = deny_of(request),
	};

	return ctl_kill(request, &filter, data);
}

int ctl_cmd_deny_add(struct ctl_request *request)
{
	const char *text = ctl_text(request, "rule");
	const json_t *kill = json_object_get(request->args, "kill");
	struct deny_rule rule;
	char why[256];
	json_t *said;
	int err;

	if (!text)
		return ctl_fail(request, "bad_request",
				"rule is missing: CIDR [allow] [for SPAN | until TIME]");
	if (deny_rule_parse(text, clock_us(CLOCK_REALTIME), &rule, why, sizeof(why)) < 0)
		return ctl_fail(request, "bad_request", "%s", why);
	if (kill && (!json_is_boolean(kill) || rule.verdict == UP_DENY_ALLOW))
		return ctl_fail(request, "bad_request", "kill is true or false, and not for allow");
	err = deny_add(deny_of(request), &rule);
	if (err == -ENOSPC)
		return ctl_fail(request, "deny_full", "there is room for deny_entries = %" PRIu32,
				ctl_conf(request)->deny_entries);
	if (err == -ETIME)
		return ctl_fail(request, "bad_request", "that time is over already");
	if (err)
		return err;
	said = describe(&rule.cidr, rule.verdict, rule.until_us);
	return json_is_true(kill) ? kill_denied(request, &rule.cidr, said)
				  : ctl_reply(request, said);
}

/* The argument "cidr". 0, or a request that has been answered. */
static int take_cidr(struct ctl_request *request, struct cidr *ret)
{
	const char *text = ctl_text(request, "cidr");
	const char *bad = text ? cidr_parse(text, ret) : "a network is expected";

	if (!bad)
		return 0;
	(void)ctl_fail(request, "bad_request", "cidr: \"%.64s\" %s", text ? text : "", bad);
	return -EINVAL;
}

int ctl_cmd_deny_del(struct ctl_request *request)
{
	struct cidr cidr;
	int err = take_cidr(request, &cidr);

	if (err)
		return 0;
	err = deny_del(deny_of(request), &cidr);
	if (err == -ENOENT)
		return ctl_fail(request, "not_found", "nothing is said of %s",
				ctl_text(request, "cidr"));
	if (err == -EROFS)
		return ctl_fail(request, "in_file",
				"deny_file says it: change the file and reload, or add an allow");
	return err ? err : ctl_reply(request, NULL);
}

/* ---- deny_list ---- */

struct listing {
	size_t at; /* the next network */
	bool filter;
	struct cidr cidr;
};

/* Is one of the two inside of the other? */
static bool overlap(const struct cidr *a, const struct cidr *b)
{
	return a->prefix_len < b->prefix_len ? cidr_holds(a, b->ip) : cidr_holds(b, a->ip);
}

static bool tell(struct ctl_request *request, const struct deny_item *item, enum deny_source source)
{
	json_t *object = describe(&item->cidr, item->verdict, item->until_us);

	(void)json_object_set_new(object, "source", json_string(sources[source]));
	(void)json_object_set_new(object, "hits", json_integer((json_int_t)item->hits));
	return ctl_item(request, object);
}

/* What both say of a network. False: enough for now. */
static bool tell_network(struct ctl_request *request, size_t number)
{
	const struct listing *listing = request->state;
	bool more = true;

	for (int source = 0; source < DENY_SOURCES; source++) {
		struct deny_item item;

		if (!deny_item(deny_of(request), number, source, &item))
			continue;
		if (!listing->filter || overlap(&listing->cidr, &item.cidr))
			more = tell(request, &item, source);
	}
	return more;
}

static void forget(struct ctl_request *request)
{
	free(request->state);
	request->state = NULL;
}

static void go_on(struct ctl_request *request)
{
	struct listing *listing = request->state;

	while (listing->at < deny_count(deny_of(request))) {
		if (!tell_network(request, listing->at++))
			return;
	}
	forget(request);
	(void)ctl_end(request);
}

int ctl_cmd_deny_list(struct ctl_request *request)
{
	_cleanup_free_ struct listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return -ENOMEM;
	listing->filter = json_object_get(request->args, "cidr") != NULL;
	if (listing->filter && take_cidr(request, &listing->cidr))
		return 0;
	request->state = TAKE_PTR(listing);
	request->cancel = forget;
	request->more = go_on;
	go_on(request);
	return 0;
}
