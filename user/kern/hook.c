// SPDX-License-Identifier: BSD-2-Clause
#include "kern/hook.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "client.skel.h"
#include "kern/cgroup.h"
#include "kern/hook_pin.h"
#include "kern/internal.h"

#define RELAY_PINS "hook"
#define INLINE_PINS "hook-inline"
#define N_PARTS 3
#define MAPS_MAX 4
#define INTENTS_LEN (UP_INTENTS * sizeof(struct up_intent))

/* An attached program, and its link's pin. */
struct part {
	struct bpf_program *prog;
	const char *pin;
	struct bpf_link *link;
};

struct kern_hook {
	enum kern_hook_engine engine;
	struct client_bpf *skel;
	struct cgroup_root cgroup;
	struct pin_dir pins;
	struct part parts[N_PARTS]; /* in order of attaching */
	struct up_intent *intents;  /* mmap of the map */
	bool adopted;               /* another instance's maps or links are in it */
	bool shared;                /* ... which lives, or a later one's that does */
	bool up;
};

/* Readers first: an address that is told can be shown. */
static void list_parts(struct kern_hook *hook)
{
	struct client_bpf *skel = hook->skel;
	bool relay = hook->engine == KERN_HOOK_RELAY;
	struct part parts[] = {
		{ .prog = skel->progs.up_peername4, .pin = "getpeername4" },
		{ .prog = skel->progs.up_peername6, .pin = "getpeername6" },
		{ .prog = relay ? skel->progs.up_sockops : skel->progs.up_sockops_flow,
		  .pin = "sockops" },
	};

	_Static_assert(ARRAY_SIZE(parts) == N_PARTS, "room for each part");
	memcpy(hook->parts, parts, sizeof(parts));
}

/* What this engine does without is neither loaded nor created. */
static int choose(struct kern_hook *hook)
{
	struct client_bpf *skel = hook->skel;
	bool relay = hook->engine == KERN_HOOK_RELAY;
	struct bpf_map *of_relay[] = { skel->maps.intents, skel->maps.handshakes };
	struct bpf_map *of_inline[] = { skel->maps.flows, skel->maps.aliases };
	int err = bpf_program__set_autoload(skel->progs.up_sockops, relay);

	if (!err)
		err = bpf_program__set_autoload(skel->progs.up_sockops_flow, !relay);
	for (size_t i = 0; !err && i < ARRAY_SIZE(of_relay); i++)
		err = bpf_map__set_autocreate(of_relay[i], relay);
	for (size_t i = 0; !err && i < ARRAY_SIZE(of_inline); i++)
		err = bpf_map__set_autocreate(of_inline[i], !relay);
	return err;
}

static int set_up_maps(struct kern_hook *hook, const struct kern_hook_params *params)
{
	struct client_bpf *skel = hook->skel;
	int err;

	if (hook->engine == KERN_HOOK_INLINE) {
		err = bpf_map__reuse_fd(skel->maps.flows, params->flows_fd);
		if (!err)
			err = bpf_map__reuse_fd(skel->maps.aliases, params->aliases_fd);
		return err;
	}
	return bpf_map__set_max_entries(skel->maps.handshakes, params->connections);
}

/* The maps people look at, and those with what a dead instance's connections need: the
 * clients of servers' sockets above all. */
static size_t list_maps(const struct kern_hook *hook, struct bpf_map **ret)
{
	const struct client_bpf *skel = hook->skel;
	size_t n = 0;

	ret[n++] = skel->maps.clients;
	ret[n++] = skel->maps.hook_stats;
	if (hook->engine == KERN_HOOK_RELAY) {
		ret[n++] = skel->maps.handshakes;
		ret[n++] = skel->maps.intents;
	}
	return n;
}

static void pin_path(const struct kern_hook *hook, const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "%s/%s", hook->pins.path, name);
}

static bool same_shape(const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) &&
	       info.value_size == bpf_map__value_size(map) &&
	       info.max_entries == bpf_map__max_entries(map);
}

/* Go on with the maps of a dead instance, unless it was another version's. */
static int adopt_maps(struct kern_hook *hook)
{
	struct bpf_map *maps[MAPS_MAX];
	size_t n = list_maps(hook, maps);

	for (size_t i = 0; i < n; i++) {
		char path[256];
		_cleanup_close_ int fd = -1;
		int err;

		pin_path(hook, bpf_map__name(maps[i]), path, sizeof(path));
		fd = bpf_obj_get(path);
		if (fd < 0)
			continue;
		if (!same_shape(maps[i], fd)) {
			if (hook->shared)
				return -ESTALE;
			(void)unlink(path);
			continue;
		}
		err = bpf_map__reuse_fd(maps[i], fd);
		if (err)
			return err;
		hook->adopted = true;
	}
	return 0;
}

static int pin_maps(struct kern_hook *hook)
{
	struct bpf_map *maps[MAPS_MAX];
	size_t n = list_maps(hook, maps);

	for (size_t i = 0; i < n; i++) {
		char path[256];

		pin_path(hook, bpf_map__name(maps[i]), path, sizeof(path));
		if (bpf_obj_pin(bpf_map__fd(maps[i]), path) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int map_intents(struct kern_hook *hook)
{
	void *p;

	if (hook->engine != KERN_HOOK_RELAY)
		return 0;
	p = mmap(NULL, INTENTS_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		 bpf_map__fd(hook->skel->maps.intents), 0);
	if (p == MAP_FAILED)
		return -errno;
	hook->intents = p;
	if (!hook->shared) /* what a dead instance was about to say */
		memset(p, 0, INTENTS_LEN);
	return 0;
}

/* A link that is there takes the new program in one step. It may be of a cgroup that is gone,
 * or taken off by hand: then it is nothing any more. */
static struct bpf_link *adopt_link(const struct part *part, const char *path)
{
	struct bpf_link *link = bpf_link__open(path);

	if (!link)
		return NULL;
	if (bpf_link__update_program(link, part->prog) == 0)
		return link;
	(void)unlink(path);
	(void)bpf_link__destroy(link);
	return NULL;
}

static int attach_part(struct kern_hook *hook, struct part *part)
{
	char path[256];
	int err;

	pin_path(hook, part->pin, path, sizeof(path));
	part->link = adopt_link(part, path);
	if (part->link) {
		hook->adopted = true;
		return 0;
	}
	/* A link implies BPF_F_ALLOW_MULTI: others' programs stay, and ours beside them. */
	part->link = bpf_program__attach_cgroup(part->prog, hook->cgroup.fd);
	if (!part->link)
		return -errno;
	err = bpf_link__pin(part->link, path);
	if (err) {
		(void)bpf_link__destroy(part->link);
		part->link = NULL;
	}
	return err;
}

static int attach(struct kern_hook *hook, char *why, size_t why_size)
{
	for (size_t i = 0; i < N_PARTS; i++) {
		char step[96];
		int err = attach_part(hook, &hook->parts[i]);

		if (!err)
			continue;
		snprintf(step, sizeof(step), "attach %s%s", hook->parts[i].pin,
			 err == -EPERM ? " (does a program of somebody else's keep others off?)"
				       : "");
		return kern_fail(why, why_size, step, err);
	}
	return 0;
}

static int claim(struct kern_hook *hook, const struct kern_hook_params *params)
{
	int err;

	if (params->shared_path) {
		hook->shared = true;
		return pin_share(params->shared_path, params->shared_fd, &hook->pins);
	}
	if (hook->engine == KERN_HOOK_RELAY)
		return pin_claim(params->pin_root, RELAY_PINS, &hook->pins);
	err = pin_claim_only(params->pin_root, INLINE_PINS, &hook->pins);
	return err == -EWOULDBLOCK ? -EBUSY : err;
}

static int bring_up(struct kern_hook *hook, const struct kern_hook_params *params, char *why,
		    size_t why_size)
{
	int err = claim(hook, params);

	if (err)
		return kern_fail(why, why_size, "pins", err);
	hook->skel = client_bpf__open();
	if (!hook->skel)
		return kern_fail(why, why_size, "open", -errno);
	list_parts(hook);
	err = choose(hook);
	if (!err)
		err = set_up_maps(hook, params);
	if (!err)
		err = adopt_maps(hook);
	if (err)
		return kern_fail(why, why_size, "maps", err);
	err = client_bpf__load(hook->skel);
	if (err)
		return kern_fail(why, why_size, "load", err);
	err = pin_maps(hook);
	if (err)
		return kern_fail(why, why_size, "pin", err);
	err = map_intents(hook);
	if (err)
		return kern_fail(why, why_size, "mmap", err);
	return attach(hook, why, why_size);
}

int kern_hook_open(const struct kern_hook_params *params, struct kern_hook **ret, char *why,
		   size_t why_size)
{
	struct kern_hook *hook = calloc(1, sizeof(*hook));
	int err;

	kern_quiet();
	if (!hook)
		return kern_fail(why, why_size, "memory", -ENOMEM);
	hook->engine = params->engine;
	hook->cgroup.fd = -1;
	hook->pins.fd = -1;
	if (params->cgroup)
		err = cgroup_open(params->cgroup, &hook->cgroup, why, why_size);
	else
		err = cgroup_root_open(NULL, &hook->cgroup, why, why_size);
	if (!err)
		err = bring_up(hook, params, why, why_size);
	if (err) {
		kern_hook_close(hook);
		return err;
	}
	if (hook->engine == KERN_HOOK_RELAY)
		(void)pin_sweep(params->pin_root, RELAY_PINS);
	hook->up = true;
	*ret = hook;
	return 0;
}

/* In the order they came, backwards. Programs that are on their way end by themselves. */
static void detach(struct kern_hook *hook)
{
	for (size_t i = N_PARTS; i-- > 0;) {
		if (hook->parts[i].link)
			(void)bpf_link__detach(hook->parts[i].link);
	}
}

/* The inline engine's stays at work; also the one that could not be replaced. */
static bool stays(const struct kern_hook *hook)
{
	return hook->engine == KERN_HOOK_INLINE && (hook->up || hook->adopted);
}

void kern_hook_close(struct kern_hook *hook)
{
	if (!hook)
		return;
	if (stays(hook) || hook->shared) {
		pin_leave(&hook->pins);
	} else {
		detach(hook);
		pin_remove(&hook->pins);
	}
	for (size_t i = 0; i < N_PARTS; i++)
		(void)bpf_link__destroy(hook->parts[i].link);
	if (hook->intents)
		(void)munmap(hook->intents, INTENTS_LEN);
	client_bpf__destroy(hook->skel);
	cleanup_close(&hook->cgroup.fd);
	free(hook);
}

void kern_hook_share(struct kern_hook *hook, bool shared)
{
	hook->shared = shared;
}

int kern_hook_pin_fd(const struct kern_hook *hook)
{
	return hook->pins.fd;
}

unsigned kern_hook_sweep(const char *pin_root)
{
	kern_quiet();
	return pin_sweep(pin_root, RELAY_PINS);
}

int kern_hook_remove(const char *pin_root)
{
	(void)kern_hook_sweep(pin_root);
	return pin_discard(pin_root, INLINE_PINS);
}

void kern_hook_give(const struct kern_hook *hook, uid_t uid, gid_t gid)
{
	if (hook)
		(void)!fchown(hook->pins.fd, uid, gid);
}

const char *kern_hook_pin_path(const struct kern_hook *hook)
{
	return hook->pins.path;
}

const char *kern_hook_cgroup(const struct kern_hook *hook)
{
	return hook->cgroup.path;
}

bool kern_hook_whole_host(const struct kern_hook *hook)
{
	return hook->cgroup.whole_host;
}

/* From free to busy: whoever does that has the place. */
static bool take_place(struct up_intent *intent)
{
	__u64 expected = 0;

	return __atomic_compare_exchange_n(&intent->cookie, &expected, UP_INTENT_BUSY, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

struct up_intent *kern_hook_announce(struct kern_hook *hook, uint64_t cookie,
				     const struct up_addr *client)
{
	for (unsigned i = 0; cookie && i < UP_INTENT_PROBES; i++) {
		struct up_intent *intent = &hook->intents[(cookie + i) % UP_INTENTS];

		if (!take_place(intent))
			continue;
		intent->client = *client;
		__atomic_store_n(&intent->cookie, cookie, __ATOMIC_RELEASE);
		return intent;
	}
	return NULL;
}

void kern_hook_hush(struct up_intent *intent, uint64_t cookie)
{
	__u64 expected = cookie;

	if (intent)
		(void)__atomic_compare_exchange_n(&intent->cookie, &expected, 0, false,
						  __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void kern_hook_runs(const struct kern_hook *hook, struct stats *ret)
{
	kern_object_runs(hook->skel->obj, hook->engine == KERN_HOOK_RELAY ? "relay" : "inline",
			 ret);
}

int kern_hook_stats(const struct kern_hook *hook, struct up_hook_stats *ret)
{
	return kern_sum(hook->skel->maps.hook_stats, ret, sizeof(*ret));
}
