/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A live relayed connection as one process tells another of it: what the two sockets do not
 * know themselves. Pure: bytes in, bytes out.
 *
 *   record   version, fields, and how long each part of the tail is
 *   tail     TLVs, bytes on their way up, bytes on their way down: behind the record, or in a
 *            file of their own where they are many
 */
#ifndef TAKEOVER_RECORD_H
#define TAKEOVER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "takeover/codec.h"
#include "unproxy/addr.h"

/* Of records and messages alike: what another version says is not guessed at. */
#define TAKEOVER_VERSION 2

#define HANDED_NAME_MAX 32

/* Bytes read and not yet sent; more than any path keeps. */
#define HANDED_PENDING_MAX (16U << 20)
#define HANDED_TLVS_MAX 65535U

/* Longest record, without its tail. */
#define HANDED_RECORD_MAX 1024U

enum handed_state { HANDED_HEADER, HANDED_CONNECT, HANDED_RELAY, HANDED_HALF, HANDED__MAX };

/* Which end came first. */
enum handed_fin { HANDED_FIN_NONE, HANDED_FIN_CLIENT, HANDED_FIN_SERVER, HANDED_FIN__MAX };

enum handed_flags {
	HANDED_PLAIN = 1,   /* no header to come */
	HANDED_STACKED = 2, /* a second header behind the first */
	HANDED_OUTSIDE = 4, /* the tail is in a file */
	HANDED__FLAGS = 7,
};

enum handed_path { HANDED_COPY = 1, HANDED_SPLICE = 2, HANDED_KERNEL = 3, HANDED_PATH__MAX };

/* The kernel path's state of a flow, see relay/accel.h; its counters are in the shared maps. */
struct handed_accel {
	bool used;
	uint32_t slot; /* in `directions` */
	uint64_t before;
	uint32_t ahead;
	bool kernel_mode;
	bool waiting;
};

struct handed_flow {
	uint64_t copied, spliced, bulk;
	uint8_t path; /* enum handed_path */
	bool ended;
	bool kernel_refused, splice_refused;
	struct handed_accel accel;
	uint32_t pending_len;
	const uint8_t *pending; /* into the tail */
};

struct handed {
	char listener[HANDED_NAME_MAX], backend[HANDED_NAME_MAX];
	struct up_addr client, balancer, destination;
	struct up_addr server;  /* none: not chosen yet */
	uint64_t accepted_us;   /* CLOCK_MONOTONIC */
	uint64_t idle_since_us; /* ... */
	uint64_t idle_bytes;
	uint64_t timer_us;   /* microseconds left; 0: not armed */
	uint64_t cookies[2]; /* of the sockets: proof of which is which; 0: there is none */
	uint32_t header_us, connect_us;
	uint32_t header_len, written_header;
	uint8_t state; /* enum handed_state */
	uint8_t fin;   /* enum handed_fin */
	uint8_t version, command;
	uint8_t flags;               /* enum handed_flags */
	struct handed_flow flows[2]; /* up, down */
	uint16_t tlv_len;
	const uint8_t *tlvs; /* into the tail */
};

static inline size_t handed_tail_len(const struct handed *handed)
{
	return (size_t)handed->tlv_len + handed->flows[0].pending_len +
	       handed->flows[1].pending_len;
}

/* The record without its tail. */
void handed_write(const struct handed *handed, struct writer *writer);

/* The tail's parts in order. */
void handed_write_tail(const struct handed *handed, struct writer *writer);

/* Read what handed_write() wrote; nothing of it is believed that could not be so. The tail's
 * pointers are NULL. 0, -EBADMSG, or -EPROTONOSUPPORT: another version. */
int handed_read(struct reader *reader, struct handed *ret);

/* Point into the tail, which lives as long as *handed is used. 0, or -EBADMSG if its length is
 * another than the record says. */
int handed_attach_tail(struct handed *handed, const uint8_t *tail, size_t len);

#endif
