// SPDX-License-Identifier: BSD-2-Clause
/* Events out of the rings; what people see into the maps; counters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "kern/internal.h"
#include "kern/kern.h"
#include "relay.skel.h"

struct kern_ring {
	struct ring_buffer *buffer;
	kern_event_fn *fn;
	void *context;
};

static int on_event(void *context, void *data, size_t size)
{
	struct kern_ring *ring = context;

	if (size == sizeof(struct up_event))
		ring->fn(ring->context, data);
	return 0;
}

int kern_ring_open(struct kern *kern, unsigned worker, kern_event_fn *fn, void *context,
		   struct kern_ring **ret)
{
	struct kern_ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	ring->fn = fn;
	ring->context = context;
	ring->buffer = ring_buffer__new(kern->ring_fds[worker], on_event, ring, NULL);
	if (!ring->buffer) {
		free(ring);
		return -errno;
	}
	*ret = ring;
	return 0;
}

int kern_ring_fd(const struct kern_ring *ring)
{
	return ring_buffer__epoll_fd(ring->buffer);
}

void kern_ring_consume(struct kern_ring *ring)
{
	(void)ring_buffer__consume(ring->buffer);
}

void kern_ring_close(struct kern_ring *ring)
{
	if (!ring)
		return;
	ring_buffer__free(ring->buffer);
	free(ring);
}

void kern_show(struct kern *kern, const uint64_t *cookies, const struct up_conn *conns,
	       uint32_t count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = BPF_ANY);

	(void)bpf_map_update_batch(bpf_map__fd(kern->skel->maps.connections), cookies, conns,
				   &count, &opts);
}

void kern_hide(struct kern *kern, const uint64_t *cookies, uint32_t count)
{
	/* One by one: a batch stops at the first key that was never shown. */
	for (uint32_t i = 0; i < count; i++)
		(void)bpf_map_delete_elem(bpf_map__fd(kern->skel->maps.connections), &cookies[i]);
}

uint32_t kern_shown_max(const struct kern *kern)
{
	return bpf_map__max_entries(kern->skel->maps.connections);
}

void kern_show_backend(struct kern *kern, uint32_t number, const struct up_backend *backend)
{
	(void)bpf_map_update_elem(bpf_map__fd(kern->skel->maps.backends), &number, backend,
				  BPF_ANY);
}

void kern_hide_backend(struct kern *kern, uint32_t number)
{
	(void)bpf_map_delete_elem(bpf_map__fd(kern->skel->maps.backends), &number);
}

void kern_object_runs(const struct bpf_object *object, const char *engine, struct stats *ret)
{
	struct bpf_program *program;

	bpf_object__for_each_program (program, object) {
		struct stats_program one = { .engine = engine };
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
			continue;
		memcpy(one.name, info.name, sizeof(one.name));
		one.runs = info.run_cnt;
		one.run_ns = info.run_time_ns;
		stats_add_program(ret, &one);
	}
}

void kern_runs(const struct kern *kern, struct stats *ret)
{
	kern_object_runs(kern->skel->obj, "relay", ret);
}

int kern_sum(const struct bpf_map *map, void *ret, size_t size)
{
	int cpus = libbpf_num_possible_cpus();
	size_t fields = size / sizeof(uint64_t);
	_cleanup_free_ uint64_t *per_cpu = NULL;
	uint64_t *sum = ret;
	uint32_t zero = 0;

	if (cpus < 0)
		return cpus;
	per_cpu = calloc((size_t)cpus, size);
	if (!per_cpu)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(map), &zero, per_cpu) < 0)
		return -errno;
	memset(ret, 0, size);
	for (size_t i = 0; i < (size_t)cpus * fields; i++)
		sum[i % fields] += per_cpu[i];
	return 0;
}

int kern_stats(const struct kern *kern, struct up_stats *ret)
{
	return kern_sum(kern->skel->maps.stats, ret, sizeof(*ret));
}
