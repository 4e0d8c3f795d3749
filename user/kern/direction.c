// SPDX-License-Identifier: BSD-2-Clause
/*
 * Directions: slots, map entries, and the word through which the program and the daemon
 * hand the stream to each other.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/socket.h"
#include "kern/internal.h"
#include "kern/kern.h"
#include "relay.skel.h"

/* A token that is no session's: events with it are nobody's. */
#define PARKED 1

/* From free to ours, whoever else looks. */
static bool claim(struct up_direction *direction)
{
	__u64 expected = 0;

	return __atomic_compare_exchange_n(&direction->token, &expected, PARKED, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static int slot_take(struct kern *kern, struct kern_slots *slots, uint32_t *ret)
{
	uint64_t given = __atomic_load_n(&kern->given, __ATOMIC_RELAXED);

	if (slots->full == given + 1)
		return -ENOSPC;
	for (uint32_t i = 0; i < slots->size; i++) {
		uint32_t slot = slots->first + slots->next;

		slots->next = (slots->next + 1) % slots->size;
		if (claim(&kern->directions[slot])) {
			*ret = slot;
			return 0;
		}
	}
	slots->full = given + 1;
	return -ENOSPC;
}

static void slot_give(struct kern *kern, struct up_direction *direction)
{
	__atomic_store_n(&direction->token, 0, __ATOMIC_RELEASE);
	__atomic_fetch_add(&kern->given, 1, __ATOMIC_RELAXED);
}

static uint32_t slot_of(const struct kern *kern, const struct kern_direction *dir)
{
	return (uint32_t)(dir->shared - kern->directions);
}

static int update(const struct bpf_map *map, const void *key, const void *value)
{
	return bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) < 0 ? -errno : 0;
}

int kern_direction_new(struct kern *kern, const struct kern_source *source,
		       struct kern_direction *ret)
{
	struct kern_slots *slots = &kern->slots_of[source->worker];
	uint64_t cookie = socket_cookie(source->fd);
	struct up_direction *shared;
	uint32_t slot;
	int err;

	if (!cookie)
		return -errno;
	err = slot_take(kern, slots, &slot);
	if (err)
		return err;
	shared = &kern->directions[slot];
	*shared = (struct up_direction){
		.word = UP_WORD_USER,
		.token = source->token,
		.ring = kern->ring_base + source->worker,
		.stage = source->stage,
		.resumed = 1,
		.room = UP_ROOM_BASE,
		.cookie = cookie,
		.peer = UP_NO_PEER,
		.header_max = source->header_max,
		.header_flags = source->header_flags,
	};
	err = update(kern->skel->maps.direction_of, &cookie, &slot);
	if (err) {
		slot_give(kern, shared);
		return err;
	}
	ret->shared = shared;
	return 0;
}

int kern_direction_target(struct kern *kern, const struct kern_direction *dir, int target_fd)
{
	uint64_t value = (uint64_t)target_fd;

	return update(kern->skel->maps.targets, &dir->shared->cookie, &value);
}

int kern_direction_start(struct kern *kern, const struct kern_direction *dir, int source_fd)
{
	uint64_t value = (uint64_t)source_fd;
	char byte;
	int err;

	err = update(kern->skel->maps.sources, &dir->shared->cookie, &value);
	if (err)
		return err;
	/* What arrived before would lie there until more comes: tcp_bpf_recvmsg_parser() has it
	 * processed. MSG_PEEK, or copied_seq would be rewound. Its result does not matter. */
	(void)recv(source_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return 0;
}

void kern_direction_couple(const struct kern *kern, const struct kern_direction *a,
			   const struct kern_direction *b)
{
	a->shared->peer = slot_of(kern, b);
	b->shared->peer = slot_of(kern, a);
}

void kern_direction_take(const struct kern_direction *dir)
{
	__atomic_fetch_or(&dir->shared->word, UP_WORD_USER, __ATOMIC_ACQ_REL);
}

void kern_direction_free(struct kern *kern, struct kern_direction *dir)
{
	struct up_direction *shared = dir->shared;

	if (!shared)
		return;
	(void)bpf_map_delete_elem(bpf_map__fd(kern->skel->maps.direction_of), &shared->cookie);
	if (shared->peer != UP_NO_PEER)
		kern->directions[shared->peer].peer = UP_NO_PEER;
	slot_give(kern, shared);
	dir->shared = NULL;
}

uint32_t kern_direction_slot(const struct kern *kern, const struct kern_direction *dir)
{
	return slot_of(kern, dir);
}

void kern_direction_park(const struct kern_direction *dir)
{
	__atomic_store_n(&dir->shared->token, PARKED, __ATOMIC_SEQ_CST);
}

int kern_direction_adopt(struct kern *kern, uint32_t slot, uint64_t cookie,
			 struct kern_direction *ret)
{
	struct up_direction *shared = &kern->directions[slot];

	if (slot >= kern->slots || shared->cookie != cookie || shared->token != PARKED)
		return -EBADMSG;
	ret->shared = shared;
	return 0;
}

void kern_direction_unpark(struct kern *kern, const struct kern_direction *dir, unsigned worker,
			   uint64_t token)
{
	__atomic_store_n(&dir->shared->ring, kern->ring_base + worker, __ATOMIC_SEQ_CST);
	__atomic_store_n(&dir->shared->token, token, __ATOMIC_SEQ_CST);
}

static uint64_t word_read(const struct kern_direction *dir)
{
	return __atomic_load_n(&dir->shared->word, __ATOMIC_ACQUIRE);
}

bool kern_direction_user(const struct kern_direction *dir)
{
	return word_read(dir) & UP_WORD_USER;
}

uint64_t kern_direction_seen(const struct kern_direction *dir)
{
	return word_read(dir) & ~UP_WORD_USER;
}

uint64_t kern_direction_redirected(const struct kern_direction *dir)
{
	return __atomic_load_n(&dir->shared->redirected, __ATOMIC_ACQUIRE);
}

uint64_t kern_direction_uncounted(const struct kern_direction *dir)
{
	uint64_t redirected = kern_direction_redirected(dir);
	uint64_t n = redirected - dir->shared->counted;

	dir->shared->counted = redirected;
	return n;
}

bool kern_direction_resume(const struct kern_direction *dir, uint64_t consumed)
{
	/* In user mode the program adds to the word and nothing else, so `redirected` stands
	 * still and the swap fails exactly if a segment arrived in between. */
	uint64_t seen = consumed + kern_direction_redirected(dir);
	__u64 expected = seen | UP_WORD_USER;

	dir->shared->resumed = 1;
	return __atomic_compare_exchange_n(&dir->shared->word, &expected, seen, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

void kern_direction_keeps(const struct kern_direction *dir, bool byte_unread)
{
	dir->shared->keeps = byte_unread;
	dir->shared->shut = 0;
}

bool kern_direction_shut(const struct kern_direction *dir)
{
	/* Cleared before the window is opened: what shuts it again is told again. */
	return dir->shared->shut && __atomic_exchange_n(&dir->shared->shut, 0, __ATOMIC_ACQ_REL);
}

void kern_slots(const struct kern *kern, uint32_t *ret_used, uint32_t *ret_size)
{
	*ret_used = 0;
	for (uint32_t slot = 0; slot < kern->slots; slot++)
		*ret_used += __atomic_load_n(&kern->directions[slot].token, __ATOMIC_RELAXED) != 0;
	*ret_size = kern->slots;
}

bool kern_event_is_current(const struct kern *kern, const struct up_event *event)
{
	return event->direction < kern->slots && event->token > PARKED &&
	       kern->directions[event->direction].token == event->token;
}
