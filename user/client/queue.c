/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of bytes; an entry is a struct record and its TLVs, and may go round the end. */
#include "client/queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define CACHE_LINE 64

/* Positions only grow; the ring's index is their low bits. Each side writes a cache line
 * of its own, and the producer looks at the consumer's only when the ring seems half full. */
struct queue {
	_Alignas(CACHE_LINE) _Atomic uint64_t head; /* written by the producer */
	_Atomic uint64_t dropped;
	uint64_t known_tail;                        /* the producer's last look at tail */
	_Alignas(CACHE_LINE) _Atomic uint64_t tail; /* written by the consumer */
	_Alignas(CACHE_LINE) uint8_t *ring;         /* never written after queue_new() */
	size_t size;
};

static size_t entry_size(const struct record *record)
{
	return (sizeof(*record) + record->tlv_len + 7) & ~(size_t)7;
}

static void free_queue(struct queue **queue)
{
	queue_free(*queue);
}

int queue_new(size_t size, struct queue **ret)
{
	_cleanup_(free_queue) struct queue *queue = aligned_alloc(CACHE_LINE, sizeof(*queue));
	size_t rounded = 1024;

	if (!queue)
		return -ENOMEM;
	*queue = (struct queue){ 0 };
	while (rounded < size)
		rounded *= 2;
	queue->size = rounded;
	queue->ring = malloc(rounded);
	if (!queue->ring)
		return -ENOMEM;
	*ret = TAKE_PTR(queue);
	return 0;
}

void queue_free(struct queue *queue)
{
	if (!queue)
		return;
	free(queue->ring);
	free(queue);
}

static void copy_in(const struct queue *queue, uint64_t position, const void *from, size_t len)
{
	size_t at = position & (queue->size - 1);
	size_t first = queue->size - at < len ? queue->size - at : len;

	memcpy(queue->ring + at, from, first);
	memcpy(queue->ring, (const uint8_t *)from + first, len - first);
}

static void copy_out(const struct queue *queue, uint64_t position, void *to, size_t len)
{
	size_t at = position & (queue->size - 1);
	size_t first = queue->size - at < len ? queue->size - at : len;

	memcpy(to, queue->ring + at, first);
	memcpy((uint8_t *)to + first, queue->ring, len - first);
}

bool queue_put(struct queue *queue, const struct record *record, const uint8_t *tlvs)
{
	uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
	size_t size = entry_size(record);

	if (head + size - queue->known_tail > queue->size) {
		queue->known_tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
		if (head + size - queue->known_tail > queue->size) {
			atomic_fetch_add_explicit(&queue->dropped, 1, memory_order_relaxed);
			return false;
		}
	}
	copy_in(queue, head, record, sizeof(*record));
	if (record->tlv_len > 0)
		copy_in(queue, head + sizeof(*record), tlvs, record->tlv_len);
	atomic_store_explicit(&queue->head, head + size, memory_order_release);
	return true;
}

bool queue_is_half_full(struct queue *queue)
{
	uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);

	if (head - queue->known_tail <= queue->size / 2)
		return false;
	queue->known_tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
	return head - queue->known_tail > queue->size / 2;
}

bool queue_peek(struct queue *queue, struct record *ret)
{
	uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

	if (atomic_load_explicit(&queue->head, memory_order_acquire) == tail)
		return false;
	copy_out(queue, tail, ret, sizeof(*ret));
	return true;
}

void queue_peek_tlvs(const struct queue *queue, const struct record *record, uint8_t *buf)
{
	uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

	copy_out(queue, tail + sizeof(*record), buf, record->tlv_len);
}

void queue_pop(struct queue *queue, const struct record *record)
{
	uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

	atomic_store_explicit(&queue->tail, tail + entry_size(record), memory_order_release);
}

bool queue_is_empty(const struct queue *queue)
{
	return atomic_load_explicit(&queue->head, memory_order_acquire) ==
	       atomic_load_explicit(&queue->tail, memory_order_acquire);
}

uint64_t queue_head(const struct queue *queue)
{
	return atomic_load_explicit(&queue->head, memory_order_acquire);
}

uint64_t queue_tail(const struct queue *queue)
{
	return atomic_load_explicit(&queue->tail, memory_order_acquire);
}

uint64_t queue_dropped(const struct queue *queue)
{
	return atomic_load_explicit(&queue->dropped, memory_order_relaxed);
}
