/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bounded queue of records with their TLVs: one producer, one consumer, no lock, no
 * system call. Who wakes the consumer is not its business. Private to the client log.
 */
#ifndef CLIENT_QUEUE_H
#define CLIENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/record.h"

struct queue;

/* size is rounded up to a power of two. Returns 0 or -ENOMEM. */
int queue_new(size_t size, struct queue **ret);
void queue_free(struct queue *queue);

/* Producer. False: no room, the record is dropped and counted. */
bool queue_put(struct queue *queue, const struct record *record, const uint8_t *tlvs);

/* Producer: more than half of it is taken. */
bool queue_is_half_full(struct queue *queue);

/* Consumer. The oldest record stays until queue_pop(); false: empty. */
bool queue_peek(struct queue *queue, struct record *ret);

/* Consumer, after queue_peek(): the record's TLVs, copied into buf (of its tlv_len). */
void queue_peek_tlvs(const struct queue *queue, const struct record *record, uint8_t *buf);
void queue_pop(struct queue *queue, const struct record *record);

/* Any thread. */
bool queue_is_empty(const struct queue *queue);
/* Positions that only grow: what was put lies before head, what was taken before tail. */
uint64_t queue_head(const struct queue *queue);
uint64_t queue_tail(const struct queue *queue);
uint64_t queue_dropped(const struct queue *queue);

#endif
