/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The relay's maps. All are pinned; the daemon's kern/ is their only writer in user space.
 * Sizes are set before loading where a comment says so.
 */
#ifndef MAPS_BPF_H
#define MAPS_BPF_H

#include "unproxy/abi.h"

/* cookie of a source -> its socket. Carries the verdict program. Entries leave with their
 * socket: deleting a live one would drop what is queued. Size: set by the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} sources SEC(".maps");

/* cookie of a source -> the socket its bytes go to. No program. Size: set by the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} targets SEC(".maps");

/* cookie of a source -> its index in `directions`. Size: set by the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} direction_of SEC(".maps");

/* State shared with the daemon by mmap. Slots belong to workers in equal parts, so that
 * handing them out needs no lock. Size: set by the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct up_direction);
} directions SEC(".maps");

/* One event ring per worker. A direction has at most two events outstanding, its hand-over
 * and its shut window, so a ring with room for two per slot cannot overflow. Sizes: set by
 * the daemon. */
struct up_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct up_ring);
} rings SEC(".maps");

/* Live connections, for people. Written by the program when it has parsed a header, by
 * the daemon once a second. Size: set by the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct up_conn);
} connections SEC(".maps");

/* Servers, for people. Written by the daemon once a second. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct up_backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct up_stats);
} stats SEC(".maps");

#endif
