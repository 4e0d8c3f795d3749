// SPDX-License-Identifier: BSD-2-Clause
#include "inline/open_flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define TLV_BYTES_MAX (64U << 20) /* of all connections together */

struct open_flows {
	struct open_flow **buckets;
	uint32_t mask;
	uint32_t room;
	size_t n;
	size_t tlv_bytes;
};

int open_flows_new(uint32_t room, struct open_flows **ret)
{
	struct open_flows *flows = calloc(1, sizeof(*flows));
	uint32_t buckets = 1024;

	while (buckets < room / 2)
		buckets *= 2;
	if (flows)
		flows->buckets = calloc(buckets, sizeof(struct open_flow *));
	if (!flows || !flows->buckets) {
		free(flows);
		return -ENOMEM;
	}
	flows->mask = buckets - 1;
	flows->room = room;
	*ret = flows;
	return 0;
}

void open_flows_free(struct open_flows *flows)
{
	if (!flows)
		return;
	open_flows_remove_unseen(flows);
	open_flows_remove_unseen(flows); /* the first only took the marks off some */
	free(flows->buckets);
	free(flows);
}

/* FNV-1a. */
static uint64_t hash_of(const struct up_flow_key *key)
{
	const uint8_t *bytes = (const uint8_t *)key;
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < sizeof(*key); i++)
		hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
	return hash;
}

uint64_t flow_number(const struct up_flow_key *key, uint64_t created_ns)
{
	uint64_t number = hash_of(key);

	for (size_t i = 0; i < sizeof(created_ns); i++)
		number = (number ^ (created_ns >> i * 8 & 0xff)) * UINT64_C(1099511628211);
	return number ? number : 1;
}

static struct open_flow **bucket_of(const struct open_flows *flows, const struct up_flow_key *key)
{
	uint64_t hash = hash_of(key);

	return &flows->buckets[(hash ^ hash >> 32) & flows->mask];
}

static void forget(struct open_flows *flows, struct open_flow **link)
{
	struct open_flow *flow = *link;

	*link = flow->next;
	flows->n--;
	flows->tlv_bytes -= flow->tlv_len;
	free(flow);
}

static struct open_flow **find_key(const struct open_flows *flows, const struct up_flow_key *key)
{
	struct open_flow **link = bucket_of(flows, key);

	while (*link && memcmp(&(*link)->key, key, sizeof(*key)) != 0)
		link = &(*link)->next;
	return link;
}

struct open_flow *open_flows_add(struct open_flows *flows, const struct open_flow *flow,
				 const uint8_t *tlvs)
{
	struct open_flow **link = find_key(flows, &flow->key);
	uint16_t tlv_len = tlvs ? flow->tlv_len : 0;
	struct open_flow *copy;

	if (*link)
		forget(flows, link);
	if (flows->n >= flows->room)
		return NULL;
	if (flows->tlv_bytes + tlv_len > TLV_BYTES_MAX)
		tlv_len = 0;
	copy = malloc(sizeof(*copy) + tlv_len);
	if (!copy)
		return NULL;
	*copy = *flow;
	copy->tlv_len = tlv_len;
	if (tlv_len > 0)
		memcpy(copy->tlvs, tlvs, tlv_len);
	link = bucket_of(flows, &flow->key);
	copy->next = *link;
	*link = copy;
	flows->n++;
	flows->tlv_bytes += tlv_len;
	return copy;
}

struct open_flow *open_flows_find(const struct open_flows *flows, const struct up_flow_key *key,
				  uint64_t created_ns)
{
	struct open_flow *flow = *find_key(flows, key);

	return flow && flow->created_ns == created_ns ? flow : NULL;
}

void open_flows_remove(struct open_flows *flows, struct open_flow *flow)
{
	forget(flows, find_key(flows, &flow->key));
}

void open_flows_remove_unseen(struct open_flows *flows)
{
	for (size_t i = 0; i <= flows->mask; i++) {
		struct open_flow **link = &flows->buckets[i];

		while (*link) {
			if ((*link)->seen) {
				(*link)->seen = false;
				link = &(*link)->next;
			} else {
				forget(flows, link);
			}
		}
	}
}

size_t open_flows_count(const struct open_flows *flows)
{
	return flows->n;
}
