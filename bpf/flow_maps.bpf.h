/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The connections of the inline engine: written by its programs, read by the address hook.
 * Pinned; sizes that are 1 here are set before loading.
 */
#ifndef FLOW_MAPS_BPF_H
#define FLOW_MAPS_BPF_H

#include "unproxy/flow_abi.h"

/* All connections. Plain and never LRU: a live flow that is evicted is a broken
 * connection. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct up_flow_key);
	__type(value, struct up_flow);
} flows SEC(".maps");

/* The same connection as the app's port knows it -> the port on the wire. Only for
 * listeners that move the port. Size: as `flows`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct up_flow_key);
	__type(value, __u32);
} aliases SEC(".maps");

#endif
