// SPDX-License-Identifier: BSD-2-Clause
#include "relay/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STRIPES 256

/* One per source with at least one connection: bounded by the connections. */
struct entry {
	struct entry *next;
	const void *listener;
	uint8_t ip[16];
	uint32_t count;
};

struct limits {
	struct {
		pthread_mutex_t lock;
		struct entry *entries;
	} stripes[STRIPES];
};

struct limits *limits_new(void)
{
	struct limits *limits = calloc(1, sizeof(*limits));

	for (int i = 0; limits && i < STRIPES; i++)
		(void)pthread_mutex_init(&limits->stripes[i].lock, NULL);
	return limits;
}

void limits_free(struct limits *limits)
{
	if (!limits)
		return;
	for (int i = 0; i < STRIPES; i++) {
		while (limits->stripes[i].entries) {
			struct entry *entry = limits->stripes[i].entries;

			limits->stripes[i].entries = entry->next;
			free(entry);
		}
		(void)pthread_mutex_destroy(&limits->stripes[i].lock);
	}
	free(limits);
}

static unsigned stripe_of(const struct up_addr *source)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (size_t i = 0; i < sizeof(source->ip); i++)
		hash = (hash ^ source->ip[i]) * 16777619U;
	return hash % STRIPES;
}

/* The link that points to the entry, or to NULL where it would be. */
static struct entry **find(struct entry **link, const void *listener, const struct up_addr *source)
{
	while (*link && ((*link)->listener != listener ||
			 memcmp((*link)->ip, source->ip, sizeof(source->ip)) != 0))
		link = &(*link)->next;
	return link;
}

static int take_locked(struct entry **link, const void *listener, const struct up_addr *source,
		       uint32_t max)
{
	struct entry *entry = *link;

	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		entry->listener = listener;
		memcpy(entry->ip, source->ip, sizeof(entry->ip));
		*link = entry;
	}
	if (entry->count >= max)
		return -EUSERS;
	entry->count++;
	return 0;
}

int limits_take(struct limits *limits, const void *listener, const struct up_addr *source,
		uint32_t max)
{
	unsigned i = stripe_of(source);
	int err;

	(void)pthread_mutex_lock(&limits->stripes[i].lock);
	err = take_locked(find(&limits->stripes[i].entries, listener, source), listener, source,
			  max);
	(void)pthread_mutex_unlock(&limits->stripes[i].lock);
	return err;
}

void limits_give(struct limits *limits, const void *listener, const struct up_addr *source)
{
	unsigned i = stripe_of(source);
	struct entry **link, *entry;

	(void)pthread_mutex_lock(&limits->stripes[i].lock);
	link = find(&limits->stripes[i].entries, listener, source);
	entry = *link;
	if (entry && --entry->count == 0) {
		*link = entry->next;
		free(entry);
	}
	(void)pthread_mutex_unlock(&limits->stripes[i].lock);
}
