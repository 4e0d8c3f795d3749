/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the kernel's rules drive: user/kern over loopback connections
 *
 *   client -> [front -> back] -> server      (stream `up`)
 *   client <- [front <- back] <- server      (stream `down`)
 *
 * with a user-space mover in as few lines as can be right. Bytes are checked by their
 * position in the stream. Nothing here measures time: waits have a deadline, and reaching
 * it fails the test.
 */
#ifndef TESTS_BPF_PAIRS_H
#define TESTS_BPF_PAIRS_H

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/socket.h"
#include "kern/kern.h"

#define DEADLINE_MS 5000
#define MOVE_AT_ONCE 65536
#define MANY (256 << 10) /* well below what a target may hold */
/* A sender that got so far past a stopped reader has met no back-pressure. */
#define UNBOUNDED (48 << 20)
/* What the daemon gives a target: see RELAY_TARGET_SNDBUF. */
#define TARGET_SNDBUF ((int)(2 * UP_ROOM_MAX))

struct bpf_map;

struct stream {
	struct kern_direction dir;
	int sender, source, target, receiver;
	uint64_t sent, received;
	uint64_t kept;     /* moved by user space */
	uint64_t header;   /* taken off the source and not passed on */
	uint64_t baseline; /* acknowledged by the target's peer that is no payload: a SYN */
	uint8_t seed;
};

struct rig {
	int client, front, back, server;
	struct stream up, down;
};

/* One kernel side for all tests of a binary: cmocka group fixture. */
extern struct kern *kern;
int kern_set_up(void **state);
int kern_tear_down(void **state);

/* Events of the ring so far; consumes what is there. */
unsigned events_of(uint64_t token, uint32_t handback);
struct up_stats stats_now(void);
bool in_map(const struct bpf_map *map, uint64_t cookie);

/* Connected sockets, not under the program. `connected` is non-blocking, too. */
void pair_open(int *ret_connected, int *ret_accepted);
void rig_open(struct rig *rig);
void rig_close(struct rig *rig);
void close_now(int *fd); /* before rig_close() */

/* Most tests: *state is an open rig, closed however the test ends. */
#define rig_test(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)
int rig_set_up(void **state);
int rig_tear_down(void **state);

/* Slot and target; the direction is in user mode and the program not yet on the socket. */
void stream_new(struct stream *stream, enum up_stage stage);
void stream_start(struct stream *stream);
/* The two above, and the kernel moves the bytes. Nothing may have arrived. */
void stream_accelerate(struct stream *stream);

/* What the sender sends at that position, from 0 on. */
uint8_t stream_byte(const struct stream *stream, uint64_t position);
/* Both return bytes: as many as fit / as are there. */
size_t stream_send(struct stream *stream, size_t n);
size_t stream_read(struct stream *stream);
/* Send exactly n bytes. */
void stream_send_all(struct stream *stream, size_t n);
/* Read until all that was sent is there; nobody touches the source: the kernel alone. */
void stream_arrives(struct stream *stream);
/* The same with user space moving what the program passes up. */
void stream_arrives_moved(struct stream *stream);
/* Send until nothing moves any more, at most UNBOUNDED; calls check after each step. */
void stream_fill(struct stream *stream, void (*check)(struct stream *stream));

/* Payload in the target's send queue or beyond, by TCP's own counters. */
uint64_t stream_written(const struct stream *stream);
/* Redirected, but not yet in the target's send queue. */
uint64_t stream_waiting(const struct stream *stream);

enum moved { MOVED_SOME, MOVED_ALL, MOVED_NOT };
/* User mode: pass on what is there, in order. MOVED_ALL: the source is empty. */
enum moved stream_move(struct stream *stream);
void stream_move_all(struct stream *stream);
bool stream_resume(struct stream *stream);

short poll_now(int fd, short events);
short poll_for(int fd, short events); /* 0 at the deadline */
bool arrived(int fd, size_t n);       /* n unread bytes, the program not being on the socket */

uint64_t now_ms(void);

/* Wait for a condition that no descriptor tells. */
#define assert_soon(condition)                                                              \
	do {                                                                                \
		uint64_t _end = now_ms() + DEADLINE_MS;                                     \
		while (!(condition) && now_ms() < _end)                                     \
			(void)poll(NULL, 0, 1);                                             \
		if (!(condition))                                                           \
			fail_msg("%s:%d: not reached: %s", __FILE__, __LINE__, #condition); \
	} while (0)

#endif
