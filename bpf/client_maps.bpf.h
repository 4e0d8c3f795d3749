/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The address hook's maps. Sizes are set before loading where a comment says so. Which ones
 * an engine needs, and which outlive the daemon, is in user/kern/hook.c.
 */
#ifndef CLIENT_MAPS_BPF_H
#define CLIENT_MAPS_BPF_H

#include "unproxy/abi.h"

/* Shared with the daemon by mmap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, UP_INTENTS);
	__type(key, __u32);
	__type(value, struct up_intent);
} intents SEC(".maps");

/* Connections on their way to a server: who each is for. An entry leaves when the server's
 * socket has taken it, or with the daemon's. Size: set by the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct up_tuple);
	__type(value, struct up_addr);
} handshakes SEC(".maps");

/* The client of a server's socket; lives and dies with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct up_addr);
} clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct up_hook_stats);
} hook_stats SEC(".maps");

#endif
