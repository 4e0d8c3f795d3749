// SPDX-License-Identifier: BSD-2-Clause
/* Load, attach, pin and map the kernel side; hand its pieces to the rest of kern/. */
#include "kern/kern.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "kern/internal.h"
#include "relay.skel.h"

/* The last thing libbpf said while loading: shown only if loading fails. libbpf's callback
 * takes no context, hence the file scope; kern_open() runs before there are threads. */
static char libbpf_last[256];

static int keep_last_message(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN)
		vsnprintf(libbpf_last, sizeof(libbpf_last), format, args);
	return 0;
}

void kern_quiet(void)
{
	libbpf_last[0] = '\0';
	libbpf_set_print(keep_last_message);
}

int kern_fail(char *why, size_t why_size, const char *step, int err)
{
	char *newline = strchr(libbpf_last, '\n');

	if (newline)
		*newline = '\0';
	snprintf(why, why_size, "%s: %s%s%s", step, strerror(-err), *libbpf_last ? ": " : "",
		 libbpf_last);
	return err;
}

/* The smallest ring that holds two events (and their 8-byte headers) for each slot. */
static uint32_t ring_bytes(uint32_t slots)
{
	uint32_t want = 2 * slots * (uint32_t)(sizeof(struct up_event) + 8);
	uint32_t size = 4096;

	while (size < want)
		size *= 2;
	return size;
}

static int set_sizes(struct kern *kern, uint32_t shown)
{
	int err = bpf_map__set_max_entries(kern->skel->maps.sources, kern->slots);

	if (!err)
		err = bpf_map__set_max_entries(kern->skel->maps.targets, kern->slots);
	if (!err)
		err = bpf_map__set_max_entries(kern->skel->maps.direction_of, kern->slots);
	if (!err)
		err = bpf_map__set_max_entries(kern->skel->maps.directions, kern->slots);
	if (!err)
		err = bpf_map__set_max_entries(kern->skel->maps.rings, KERN_RINGS * KERN_RING_SETS);
	if (!err)
		err = bpf_map__set_max_entries(kern->skel->maps.connections, shown);
	return err;
}

/* The first set of rings that no instance has. 0 or -ENOSPC. */
static int choose_rings(struct kern *kern)
{
	int fd = bpf_map__fd(kern->skel->maps.rings);
	uint32_t id;

	for (uint32_t set = 0; set < KERN_RING_SETS; set++) {
		kern->ring_base = set * KERN_RINGS;
		if (bpf_map_lookup_elem(fd, &kern->ring_base, &id) < 0 && errno == ENOENT)
			return 0;
	}
	return -ENOSPC;
}

/* Events for what is left of them would be nobody's. */
static void give_rings(const struct kern *kern)
{
	for (uint32_t i = 0; i < kern->workers; i++) {
		uint32_t place = kern->ring_base + i;

		if (kern->ring_fds && kern->ring_fds[i] >= 0)
			(void)bpf_map_delete_elem(bpf_map__fd(kern->skel->maps.rings), &place);
	}
}

/* Of those that one worker may have: with directions of fewer workers it may have more. */
static uint32_t slots_per_ring(const struct kern *kern, const struct kern_shared *shared)
{
	uint32_t workers = kern->workers;

	if (shared && shared->workers && shared->workers < workers)
		workers = shared->workers;
	return kern->slots / workers + 1;
}

static int make_rings(struct kern *kern, const struct kern_shared *shared)
{
	uint32_t bytes = ring_bytes(slots_per_ring(kern, shared));

	for (uint32_t i = 0; i < kern->workers; i++) {
		int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, bytes, NULL);
		uint32_t place = kern->ring_base + i;

		if (fd < 0)
			return -errno;
		kern->ring_fds[i] = fd;
		if (bpf_map_update_elem(bpf_map__fd(kern->skel->maps.rings), &place, &fd, BPF_ANY) <
		    0)
			return -errno;
	}
	return 0;
}

static void make_slots(struct kern *kern)
{
	uint32_t share = kern->slots / kern->workers;

	for (unsigned w = 0; w < kern->workers; w++)
		kern->slots_of[w] = (struct kern_slots){ .first = w * share, .size = share };
}

static int map_directions(struct kern *kern)
{
	size_t len = (size_t)kern->slots * sizeof(struct up_direction);
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(kern->skel->maps.directions), 0);

	if (p == MAP_FAILED)
		return -errno;
	kern->directions = p;
	kern->directions_len = len;
	return 0;
}

static int attach(struct kern *kern)
{
	/* libbpf 1.1 has no section name and no link for a sockmap verdict. */
	int err = bpf_prog_attach(bpf_program__fd(kern->skel->progs.up_verdict),
				  bpf_map__fd(kern->skel->maps.sources), BPF_SK_SKB_STREAM_VERDICT,
				  0);

	if (!err)
		kern->attached = true;
	return err < 0 ? -errno : 0;
}

static int own_maps(struct kern *kern, const struct kern_params *params, char *why, size_t why_size)
{
	int err = set_sizes(kern, params->shown ? params->shown : KERN_SHOWN);

	return err ? kern_fail(why, why_size, "size maps", err) : 0;
}

static int shared_maps(struct kern *kern, const struct kern_params *params, char *why,
		       size_t why_size)
{
	const struct kern_shared *shared = params->shared;
	int err = shared->abi == UP_RELAY_ABI && kern->workers <= KERN_RINGS ? 0 : -ESTALE;

	if (!err)
		err = kern_pin_adopt(kern, shared);
	if (err)
		return kern_fail(why, why_size, "another daemon's maps", err);
	kern->slots = bpf_map__max_entries(kern->skel->maps.directions);
	kern->shared = true;
	return 0;
}

static int bring_up(struct kern *kern, const struct kern_params *params, char *why, size_t why_size)
{
	int err;

	kern->skel = relay_bpf__open();
	if (!kern->skel)
		return kern_fail(why, why_size, "open", -errno);
	if (params->shared)
		err = shared_maps(kern, params, why, why_size);
	else
		err = own_maps(kern, params, why, why_size);
	if (err)
		return err;
	err = relay_bpf__load(kern->skel);
	if (err)
		return kern_fail(why, why_size, "load", err);
	err = choose_rings(kern);
	if (!err)
		err = make_rings(kern, params->shared);
	if (err)
		return kern_fail(why, why_size, "event rings", err);
	err = map_directions(kern);
	if (err)
		return kern_fail(why, why_size, "mmap", err);
	err = attach(kern);
	if (err)
		return kern_fail(why, why_size, "attach", err);
	if (params->shared)
		return 0;
	err = kern_pin_claim(kern, params->pin_root);
	if (!err)
		err = kern_pin_maps(kern);
	if (err)
		return kern_fail(why, why_size, "pin", err);
	(void)kern_sweep(params->pin_root);
	return 0;
}

static struct kern *kern_alloc(const struct kern_params *params)
{
	struct kern *kern = calloc(1, sizeof(*kern));
	uint32_t page_slots = 4096 / sizeof(struct up_direction);

	if (!kern)
		return NULL;
	kern->pin_dir_fd = -1;
	kern->workers = params->workers;
	kern->slots = params->slots ? params->slots : KERN_SLOTS;
	/* Whole pages for mmap, equal parts for the workers. */
	kern->slots += page_slots * kern->workers - kern->slots % (page_slots * kern->workers);
	kern->slots_of = calloc(kern->workers, sizeof(*kern->slots_of));
	kern->ring_fds = calloc(kern->workers, sizeof(*kern->ring_fds));
	if (!kern->slots_of || !kern->ring_fds) {
		kern_close(kern);
		return NULL;
	}
	for (unsigned i = 0; i < kern->workers; i++)
		kern->ring_fds[i] = -1;
	return kern;
}

int kern_open(const struct kern_params *params, struct kern **ret, char *why, size_t why_size)
{
	struct utsname uts;
	struct kern *kern;
	int err;

	if (uname(&uts) < 0)
		return -errno;
	err = kern_gate(uts.release, why, why_size);
	if (err)
		return err;
	kern = kern_alloc(params);
	if (!kern)
		return kern_fail(why, why_size, "memory", -ENOMEM);

	kern_quiet();
	err = bring_up(kern, params, why, why_size);
	if (err) {
		kern_close(kern);
		return err;
	}
	make_slots(kern);
	*ret = kern;
	return 0;
}

void kern_close(struct kern *kern)
{
	if (!kern)
		return;
	if (kern->attached && !kern->shared)
		(void)bpf_prog_detach2(bpf_program__fd(kern->skel->progs.up_verdict),
				       bpf_map__fd(kern->skel->maps.sources),
				       BPF_SK_SKB_STREAM_VERDICT);
	if (kern->skel)
		give_rings(kern);
	if (kern->shared)
		cleanup_close(&kern->pin_dir_fd);
	else
		kern_pin_release(kern);
	if (kern->directions)
		(void)munmap(kern->directions, kern->directions_len);
	for (unsigned i = 0; i < kern->workers; i++) {
		if (kern->ring_fds && kern->ring_fds[i] >= 0)
			(void)close(kern->ring_fds[i]);
	}
	relay_bpf__destroy(kern->skel);
	free(kern->ring_fds);
	free(kern->slots_of);
	free(kern);
}

void kern_give(const struct kern *kern, uid_t uid, gid_t gid)
{
	if (kern)
		(void)!fchown(kern->pin_dir_fd, uid, gid);
}

const char *kern_pin_path(const struct kern *kern)
{
	return kern->pin_path;
}

const char *kern_libbpf_version(void)
{
	return libbpf_version_string();
}

struct kern_shared kern_tell(const struct kern *kern)
{
	return (struct kern_shared){
		.path = kern->pin_path,
		.fd = kern->pin_dir_fd,
		.abi = UP_RELAY_ABI,
		.workers = kern->workers,
	};
}

void kern_share(struct kern *kern, bool shared)
{
	kern->shared = shared;
}

bool kern_is_shared(const struct kern *kern)
{
	return kern->shared;
}
