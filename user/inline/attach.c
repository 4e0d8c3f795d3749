// SPDX-License-Identifier: BSD-2-Clause
#include "inline/attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "inline/complain.h"
#include "obs/log.h"

#define INTERFACES_MAX 256

void attach_free(struct attach *attach)
{
	interface_names_free(&attach->gone);
	interface_names_free(&attach->failed);
}

/* Would a packet pass the programs twice, at an interface and at its master? */
static int check_master(const struct attach *attach, const struct conf_listener *listener,
			const struct kern_interface *interface,
			const struct interface_names *wanted)
{
	char where[384], master[CONF_INTERFACE_MAX];

	if (!interface_master(interface->index, master) || !interface_names_hold(wanted, master))
		return 0;
	(void)conf_where(attach->conf->file, listener->interfaces_line, "interfaces", where,
			 sizeof(where));
	complain(attach->error, "%s\"%s\" is a part of %s, and both are attached to: leave one out",
		 where, interface->name, master);
	return -EEXIST;
}

static int refuse(const struct attach *attach, const struct conf_listener *listener,
		  const char *name, int err, unsigned kind)
{
	char where[384];

	(void)conf_where(attach->conf->file, listener->interfaces_line, "interfaces", where,
			 sizeof(where));
	if (err == -EOPNOTSUPP)
		complain(attach->error,
			 "%s\"%s\" is of a kind (%u) whose packets are not understood here", where,
			 name, kind);
	else
		complain(attach->error, "%s\"%s\": %s", where, name,
			 err == -ENODEV ? "there is no such interface" : strerror(-err));
	return err;
}

/* again: that it fails has been said. */
static int attach_one(struct attach *attach, const struct kern_interface *interface, bool again)
{
	char why[384] = "";
	bool behind = false;
	int err = kern_inline_attach(attach->kern, interface, &behind, why, sizeof(why));

	if (err && !again)
		complain(attach->error, "inline.failed interface=%s error=\"%s\"", interface->name,
			 why);
	else if (!err && behind)
		log_warn("inline.behind interface=%s reason=\"another filter stands at priority 1: "
			 "connections whose packets it takes do not work\"",
			 interface->name);
	return err;
}

/* What the configuration says, and what it leaves to the routes. */
static int wanted_names(const struct attach *attach, struct interface_names *ret)
{
	const struct policy *policy = attach->policy;
	bool by_route = false;
	int err = 0;

	for (size_t i = 0; !err && i < policy->n_listeners; i++) {
		const struct conf_listener *listener = policy->listeners[i];

		by_route |= !listener->n_interfaces;
		for (size_t k = 0; !err && k < listener->n_interfaces; k++)
			err = interface_names_add(ret, listener->interfaces[k].name,
						  strlen(listener->interfaces[k].name));
	}
	return !err && by_route ? interface_names_default(ret) : err;
}

static int check_listener(const struct attach *attach, const struct conf_listener *listener,
			  const struct interface_names *wanted)
{
	int err = 0;

	for (size_t i = 0; !err && i < listener->n_interfaces; i++) {
		const char *name = listener->interfaces[i].name;
		struct kern_interface interface;
		unsigned kind = 0;

		err = interface_find(name, &interface, &kind);
		if (err)
			return refuse(attach, listener, name, err, kind);
		err = check_master(attach, listener, &interface, wanted);
	}
	return err;
}

int attach_check(const struct attach *attach)
{
	_cleanup_(interface_names_free) struct interface_names wanted = { 0 };
	const struct policy *policy = attach->policy;
	int err = wanted_names(attach, &wanted);

	for (size_t i = 0; !err && i < policy->n_listeners; i++)
		err = check_listener(attach, policy->listeners[i], &wanted);
	return err;
}

/* Those of an earlier daemon, too. One that has gone, or was made anew, is forgotten. */
static int add_known_names(const struct attach *attach, struct interface_names *ret)
{
	struct kern_interface known[INTERFACES_MAX];
	size_t n = kern_inline_interfaces(attach->kern, known, INTERFACES_MAX);
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		struct kern_interface now = { .index = 0 };
		unsigned kind = 0;

		if (interface_find(known[i].name, &now, &kind) < 0 || now.index != known[i].index)
			kern_inline_forget(attach->kern, known[i].index);
		else
			err = interface_names_add(ret, known[i].name, strlen(known[i].name));
	}
	return err;
}

/* One that is named has been checked: one that is not there, or of another kind, has a route,
 * no more. */
static int attach_name(struct attach *attach, const char *name, bool again)
{
	struct kern_interface interface;
	unsigned kind = 0;

	if (interface_find(name, &interface, &kind) < 0) {
		log_info("inline.left_out interface=%s kind=%u", name, kind);
		return 0;
	}
	if (!again && kern_inline_is_attached(attach->kern, interface.index) == KERN_ATTACHED)
		return 0;
	return attach_one(attach, &interface, false);
}

int attach_more(struct attach *attach)
{
	_cleanup_(interface_names_free) struct interface_names names = { 0 };
	int err = wanted_names(attach, &names);

	for (size_t i = 0; !err && i < names.n; i++)
		err = attach_name(attach, names.names[i].name, false);
	return err;
}

int attach_all(struct attach *attach)
{
	_cleanup_(interface_names_free) struct interface_names names = { 0 };
	int err = add_known_names(attach, &names);

	if (!err)
		err = wanted_names(attach, &names);
	for (size_t i = 0; !err && i < names.n; i++)
		err = attach_name(attach, names.names[i].name, true);
	return err;
}

static void miss(struct attach *attach, const char *name)
{
	if (interface_names_hold(&attach->gone, name))
		return;
	(void)interface_names_add(&attach->gone, name, strlen(name));
	log_warn("inline.gone interface=%s reason=\"attached again when it comes back\"", name);
}

static void find_again(struct attach *attach, const struct kern_interface *interface)
{
	enum kern_attached how = kern_inline_is_attached(attach->kern, interface->index);
	bool again = interface_names_hold(&attach->failed, interface->name);

	interface_names_remove(&attach->gone, interface->name);
	if (how == KERN_ATTACHED)
		return;
	if (how == KERN_REMOVED && !again)
		log_warn("inline.attach interface=%s reason=\"somebody has removed our programs\"",
			 interface->name);
	else if (!again)
		log_info("inline.attach interface=%s reason=\"it is new\"", interface->name);
	if (attach_one(attach, interface, again) == 0)
		interface_names_remove(&attach->failed, interface->name);
	else
		(void)interface_names_add(&attach->failed, interface->name,
					  strlen(interface->name));
}

void attach_heal(struct attach *attach)
{
	_cleanup_(interface_names_free) struct interface_names names = { 0 };

	if (wanted_names(attach, &names) < 0 || add_known_names(attach, &names) < 0)
		return;
	for (size_t i = 0; i < names.n; i++) {
		struct kern_interface interface;
		unsigned kind = 0;
		int err = interface_find(names.names[i].name, &interface, &kind);

		if (!err)
			find_again(attach, &interface);
		else if (err != -EOPNOTSUPP)
			miss(attach, names.names[i].name);
	}
}

void attach_names(const struct attach *attach, char *buf, size_t size)
{
	struct kern_interface known[INTERFACES_MAX];
	size_t n = kern_inline_interfaces(attach->kern, known, INTERFACES_MAX), at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < n && at < size; i++)
		at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? "," : "", known[i].name);
}
