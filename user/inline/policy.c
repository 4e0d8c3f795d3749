// SPDX-License-Identifier: BSD-2-Clause
#include "inline/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define MAPPED_BITS 96
#define ID_BITS 32 /* of a trust key's prefix: all of the id */

static const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff };

void policy_need_ports(struct up_ports *ports, uint16_t wire, uint16_t app)
{
	ports->role[wire] |= UP_PORT_WIRE;
	ports->role[app] |= UP_PORT_APP;
	if (app != wire)
		ports->role[app] |= UP_PORT_MOVED;
}

/* FNV-1a of the name: the same listener has the same id in the next daemon, whose trust
 * list must not hold for another's connections for a moment. */
static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash;
}

static uint32_t pick_id(const struct policy *policy, const char *name)
{
	uint32_t id = hash_name(name);

	while (policy_find(policy, id) >= 0)
		id++;
	return id;
}

int policy_find(const struct policy *policy, uint32_t id)
{
	for (size_t i = 0; i < policy->n_listeners; i++) {
		if (policy->ids[i] == id)
			return (int)i;
	}
	return -1;
}

static int add_trust(struct policy *policy, uint32_t id, const uint8_t *ip, unsigned bits)
{
	struct up_trust_key *more;

	more = reallocarray(policy->trust, policy->n_trust + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	policy->trust = more;
	more[policy->n_trust] = (struct up_trust_key){ .prefix_len = ID_BITS + bits,
						       .listener = id };
	for (unsigned bit = 0; bit < bits; bit++)
		more[policy->n_trust].ip[bit / 8] |= ip[bit / 8] & (0x80 >> bit % 8);
	policy->n_trust++;
	return 0;
}

/* A rule for IPv6 so short that it covers where IPv4 is stored says nothing of IPv4: it
 * becomes its other halves on the way down to ::ffff:0:0/96. */
static int add_round_mapped(struct policy *policy, uint32_t id, unsigned bits)
{
	int r = 0;

	for (unsigned bit = bits; r == 0 && bit < MAPPED_BITS; bit++) {
		uint8_t ip[16];

		memcpy(ip, mapped, sizeof(ip));
		ip[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		r = add_trust(policy, id, ip, bit + 1);
	}
	return r;
}

static bool covers_mapped(const struct cidr *rule)
{
	for (unsigned bit = 0; bit < rule->prefix_len; bit++) {
		if ((rule->ip[bit / 8] ^ mapped[bit / 8]) & (0x80 >> bit % 8))
			return false;
	}
	return rule->prefix_len < MAPPED_BITS;
}

static int add_rules(struct policy *policy, uint32_t id, const struct trust *trust)
{
	int r = trust->any ? add_trust(policy, id, mapped, 0) : 0;

	for (size_t i = 0; r == 0 && i < trust->n_rules; i++) {
		const struct cidr *rule = &trust->rules[i];

		r = covers_mapped(rule) ? add_round_mapped(policy, id, rule->prefix_len)
					: add_trust(policy, id, rule->ip, rule->prefix_len);
	}
	return r;
}

static int add_listen(struct policy *policy, const struct conf_listener *conf, uint32_t id,
		      const struct up_addr *addr)
{
	struct up_listen_key *keys;
	struct up_listen *listens, *listen;

	keys = reallocarray(policy->keys, policy->n_listens + 1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	policy->keys = keys;
	listens = reallocarray(policy->listens, policy->n_listens + 1, sizeof(*listens));
	if (!listens)
		return -ENOMEM;
	policy->listens = listens;

	keys[policy->n_listens] = (struct up_listen_key){ .port = conf->port.wire };
	listen = &listens[policy->n_listens++];
	*listen = (struct up_listen){
		.id = id,
		.app_port = conf->port.app,
		.header_max = (__u16)conf->header_max,
		.timeout_ms = conf->header_timeout_ms,
	};
	(void)snprintf(listen->name, sizeof(listen->name), "%s", conf->name);
	if (conf->header == CONF_HEADER_OPTIONAL)
		listen->options |= UP_FLOW_OPTIONAL;
	if (conf->v1_ipv4_in_tcp6)
		listen->options |= UP_FLOW_V4_IN_TCP6;
	if (conf->untrusted == CONF_UNTRUSTED_PASS)
		listen->options |= UP_FLOW_PASS_OTHERS;
	if (addr)
		memcpy(keys[policy->n_listens - 1].ip, addr->ip, sizeof(addr->ip));
	return 0;
}

static int add_listener(struct policy *policy, const struct conf_listener *conf, bool drained)
{
	uint32_t id = pick_id(policy, conf->name);
	size_t first = policy->n_listens;
	int r = add_rules(policy, id, &conf->trust);

	policy->listeners[policy->n_listeners] = conf;
	policy->ids[policy->n_listeners++] = id;
	policy_need_ports(&policy->ports, conf->port.wire, conf->port.app);
	if (r == 0 && conf->n_addresses == 0)
		r = add_listen(policy, conf, id, NULL);
	for (size_t i = 0; r == 0 && i < conf->n_addresses; i++)
		r = add_listen(policy, conf, id, &conf->addresses[i]);
	for (size_t i = first; drained && i < policy->n_listens; i++)
		policy->listens[i].options |= UP_FLOW_DRAINING;
	return r;
}

int policy_build(struct policy *ret, const struct conf *conf, policy_drained_fn *drained,
		 void *context)
{
	_cleanup_(policy_free) struct policy policy = { 0 };
	int r = 0;

	policy.listeners = calloc(conf->n_listeners, sizeof(struct conf_listener *));
	policy.ids = calloc(conf->n_listeners, sizeof(*policy.ids));
	if (!policy.listeners || !policy.ids)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];

		if (listener->engine == CONF_ENGINE_INLINE)
			r = add_listener(&policy, listener,
					 drained && drained(context, listener->name));
	}
	if (r < 0)
		return r;
	*ret = policy;
	policy = (struct policy){ 0 };
	return 0;
}

void policy_free(struct policy *policy)
{
	free(policy->keys);
	free(policy->listens);
	free(policy->trust);
	free(policy->listeners);
	free(policy->ids);
	policy->keys = NULL;
	policy->listens = NULL;
	policy->trust = NULL;
	policy->listeners = NULL;
	policy->ids = NULL;
}
