// SPDX-License-Identifier: BSD-2-Clause
/* What the programs are told and what they tell: maps, events, counters, the sweep. */
#include <errno.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/inline_internal.h"
#include "kern/internal.h"
#include "inline.skel.h"

#define KEY_ROOM 32 /* the longest key that map_keep() handles */
#define BATCH 4096  /* more than a bucket of `flows` ever holds */

/* Flows of a step of kern_inline_next_flows(): less than a millisecond. */
#define WALK_BATCH 1024

/* Connections the sweep looks at in a run: of 100,000 each every 100 seconds. */
#define SWEEP_BATCH 1024
#define SWEEP_SILENT_NS (60 * UINT64_C(1000000000))

_Static_assert(sizeof(struct up_trust_key) <= KEY_ROOM, "keys are kept whole");
_Static_assert(sizeof(struct up_listen_key) <= KEY_ROOM, "keys are kept whole");

static int compare_trust(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct up_trust_key));
}

static int compare_listen(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct up_listen_key));
}

typedef int compare_fn(const void *a, const void *b);

static void *sorted_copy(const void *keys, size_t n, size_t key_size, compare_fn *compare)
{
	void *copy = malloc(n * key_size + 1);

	if (!copy)
		return NULL;
	if (n > 0)
		memcpy(copy, keys, n * key_size);
	qsort(copy, n, key_size, compare);
	return copy;
}

/* Delete all but these. Keys are gathered first: deleting while iterating starts anew. */
static int map_keep(int fd, const void *keys, size_t n, size_t key_size, compare_fn *compare)
{
	_cleanup_free_ void *kept = sorted_copy(keys, n, key_size, compare);
	_cleanup_free_ char *stale = NULL;
	char key[KEY_ROOM];
	const void *previous = NULL;
	size_t n_stale = 0;

	if (!kept)
		return -ENOMEM;
	while (bpf_map_get_next_key(fd, previous, key) == 0) {
		char *more;

		previous = key;
		if (bsearch(key, kept, n, key_size, compare))
			continue;
		more = reallocarray(stale, n_stale + 1, key_size);
		if (!more)
			return -ENOMEM;
		stale = more;
		memcpy(stale + n_stale++ * key_size, key, key_size);
	}
	for (size_t i = 0; i < n_stale; i++)
		(void)bpf_map_delete_elem(fd, stale + i * key_size);
	return 0;
}

/* Roles are added, never taken: those that are on their way through still need them. */
static int add_ports(struct kern_inline *kern, const struct up_ports *ports)
{
	_cleanup_free_ struct up_ports *all = malloc(sizeof(*all));
	int err;

	if (!all)
		return -ENOMEM;
	err = kern_inline_get_ports(kern, all);
	if (err)
		return err;
	for (size_t i = 0; i < sizeof(all->role); i++)
		all->role[i] |= ports->role[i];
	return kern_inline_set_ports(kern, all);
}

int kern_inline_set_policy(struct kern_inline *kern, const struct kern_inline_policy *policy)
{
	int listeners = bpf_map__fd(kern->skel->maps.listeners);
	int trust = bpf_map__fd(kern->skel->maps.trust);
	uint32_t trusted = 1;
	int err;

	/* First whom not to trust any more, and where not to listen; then the new. */
	err = map_keep(trust, policy->trust, policy->n_trust, sizeof(*policy->trust),
		       compare_trust);
	if (!err)
		err = map_keep(listeners, policy->keys, policy->n_listens, sizeof(*policy->keys),
			       compare_listen);
	for (size_t i = 0; !err && i < policy->n_trust; i++) {
		if (bpf_map_update_elem(trust, &policy->trust[i], &trusted, BPF_ANY) < 0)
			err = -errno;
	}
	for (size_t i = 0; !err && i < policy->n_listens; i++) {
		if (bpf_map_update_elem(listeners, &policy->keys[i], &policy->listens[i], BPF_ANY) <
		    0)
			err = -errno;
	}
	return err ? err : add_ports(kern, policy->ports);
}

int kern_inline_get_ports(const struct kern_inline *kern, struct up_ports *ret)
{
	uint32_t zero = 0;

	return bpf_map_lookup_elem(bpf_map__fd(kern->skel->maps.ports), &zero, ret) < 0 ? -errno
											: 0;
}

int kern_inline_set_ports(struct kern_inline *kern, const struct up_ports *ports)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(bpf_map__fd(kern->skel->maps.ports), &zero, ports, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

struct flow_batch {
	struct up_flow_key keys[BATCH];
	struct up_flow flows[BATCH];
};

int kern_inline_each_flow(const struct kern_inline *kern, kern_flow_fn *fn, void *context)
{
	_cleanup_free_ struct flow_batch *batch = malloc(sizeof(*batch));
	int fd = bpf_map__fd(kern->skel->maps.flows);
	uint32_t place, count;
	void *in = NULL;
	int err = 0;

	if (!batch)
		return -ENOMEM;
	while (!err) {
		count = BATCH;
		if (bpf_map_lookup_batch(fd, in, &place, batch->keys, batch->flows, &count, NULL) <
		    0)
			err = -errno;
		if (err && err != -ENOENT) /* the last batch says ENOENT, and may hold some */
			return err;
		for (uint32_t i = 0; i < count; i++)
			fn(context, &batch->keys[i], &batch->flows[i]);
		in = &place;
	}
	return 0;
}

bool kern_inline_is_empty(const struct kern_inline *kern)
{
	struct up_flow_key key;

	return bpf_map_get_next_key(bpf_map__fd(kern->skel->maps.flows), NULL, &key) < 0 &&
	       errno == ENOENT;
}

int kern_inline_next_flows(const struct kern_inline *kern, struct kern_flow_walk *walk,
			   kern_flow_fn *fn, void *context)
{
	_cleanup_free_ struct flow_batch *batch = malloc(sizeof(*batch));
	uint32_t count = WALK_BATCH;
	int err;

	if (!batch)
		return -ENOMEM;
	err = bpf_map_lookup_batch(bpf_map__fd(kern->skel->maps.flows),
				   walk->begun ? &walk->place : NULL, &walk->place, batch->keys,
				   batch->flows, &count, NULL);
	err = err < 0 ? -errno : 0;
	if (err && err != -ENOENT)
		return err;
	walk->begun = true;
	walk->over = err == -ENOENT;
	for (uint32_t i = 0; i < count; i++)
		fn(context, &batch->keys[i], &batch->flows[i]);
	return 0;
}

int kern_inline_end(const struct kern_inline *kern, const struct up_flow_key *key)
{
	uint8_t packet[ETH_HLEN + sizeof(*key)] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet));

	memcpy(packet + ETH_HLEN, key, sizeof(*key));
	if (bpf_prog_test_run_opts(bpf_program__fd(kern->skel->progs.up_kill), &opts) < 0)
		return -errno;
	return opts.retval == 1 ? 0 : -ENOENT;
}

int kern_inline_events_fd(const struct kern_inline *kern)
{
	return ring_buffer__epoll_fd(kern->ring);
}

bool kern_inline_consume(struct kern_inline *kern, unsigned max)
{
	kern->events_left = max;
	(void)ring_buffer__consume(kern->ring);
	return kern->events_left == 0;
}

/* Has this one still a socket? The program answers for itself: it ends the flow. */
static void sweep_one(struct kern_inline *kern, const struct up_flow_key *key)
{
	uint8_t packet[ETH_HLEN + sizeof(*key)] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet));

	memcpy(packet + ETH_HLEN, key, sizeof(*key));
	(void)bpf_prog_test_run_opts(bpf_program__fd(kern->skel->progs.up_sweep), &opts);
}

/* Without a timer; or silent for long; or not yet known to have its socket here, without which
 * nothing is said of its absence. */
static bool wants_sweep(const struct up_flow *flow, uint64_t now_ns)
{
	if (!(flow->marks & UP_FLOW_TIMED))
		return true;
	if (flow->state != UP_FLOW_OPEN || flow->marks & UP_FLOW_ENDED)
		return false;
	return !(flow->marks & UP_FLOW_LOCAL) || flow->seen_ns + SWEEP_SILENT_NS < now_ns;
}

int kern_inline_sweep(struct kern_inline *kern)
{
	_cleanup_free_ struct flow_batch *batch = malloc(sizeof(*batch));
	uint64_t now_ns = clock_us(CLOCK_MONOTONIC) * 1000;
	uint32_t count = SWEEP_BATCH;
	int err;

	if (!batch)
		return -ENOMEM;
	err = bpf_map_lookup_batch(bpf_map__fd(kern->skel->maps.flows),
				   kern->sweeping ? &kern->sweep_place : NULL, &kern->sweep_place,
				   batch->keys, batch->flows, &count, NULL);
	err = err < 0 ? -errno : 0;
	kern->sweeping = !err;
	if (err && err != -ENOENT)
		return err;
	for (uint32_t i = 0; i < count; i++) {
		if (wants_sweep(&batch->flows[i], now_ns))
			sweep_one(kern, &batch->keys[i]);
	}
	return 0;
}

uint32_t kern_inline_room(const struct kern_inline *kern)
{
	return bpf_map__max_entries(kern->skel->maps.flows);
}

void kern_inline_runs(const struct kern_inline *kern, struct stats *ret)
{
	kern_object_runs(kern->skel->obj, "inline", ret);
}

int kern_inline_stats(const struct kern_inline *kern, struct up_flow_stats *ret)
{
	enum { FIELDS = sizeof(struct up_flow_stats) / sizeof(__u64) };
	_cleanup_free_ struct up_flow_stats *per_cpu = NULL;
	uint64_t *sum = (uint64_t *)ret;
	int cpus = libbpf_num_possible_cpus();
	uint32_t zero = 0;

	if (cpus < 0)
		return cpus;
	per_cpu = calloc((size_t)cpus, sizeof(*per_cpu));
	if (!per_cpu)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(kern->skel->maps.flow_stats), &zero, per_cpu) < 0)
		return -errno;
	*ret = (struct up_flow_stats){ 0 };
	for (int cpu = 0; cpu < cpus; cpu++) {
		const uint64_t *one = (const uint64_t *)&per_cpu[cpu];

		for (int i = 0; i < FIELDS; i++)
			sum[i] += one[i];
	}
	return 0;
}
