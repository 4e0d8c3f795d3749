// SPDX-License-Identifier: BSD-2-Clause
#include "relay/generation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/log.h"

struct pool_entry {
	struct list all;
	char name[CONF_NAME_MAX];
	struct pool *pool;
	unsigned references; /* generations that have it */
};

void generations_init(struct generations *books, unsigned n_workers)
{
	*books = (struct generations){ .n_workers = n_workers };
	list_init(&books->all);
	list_init(&books->states);
	list_init(&books->pools);
}

static struct pool_entry *find_pool(const struct generations *books, const char *name)
{
	for (struct list *item = books->pools.next; item != &books->pools; item = item->next) {
		struct pool_entry *entry = container_of(item, struct pool_entry, all);

		if (strcmp(entry->name, name) == 0)
			return entry;
	}
	return NULL;
}

struct pool *generation_pool(const struct generation *generation, size_t backend)
{
	return generation->pools[backend]->pool;
}

static struct listener_state *find_state(const struct generations *books, const char *name)
{
	for (struct list *item = books->states.next; item != &books->states; item = item->next) {
		struct listener_state *state = container_of(item, struct listener_state, all);

		if (strcmp(state->name, name) == 0)
			return state;
	}
	return NULL;
}

static int take_pool(struct generations *books, const struct conf_backend *conf,
		     struct pool_entry **ret)
{
	struct pool_entry *entry = find_pool(books, conf->name);
	int err;

	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		err = pool_new(conf, &entry->pool);
		if (err) {
			free(entry);
			return err;
		}
		(void)snprintf(entry->name, sizeof(entry->name), "%s", conf->name);
		list_append(&books->pools, &entry->all);
	}
	entry->references++;
	*ret = entry;
	return 0;
}

static void give_pool(struct pool_entry *entry)
{
	if (--entry->references)
		return;
	list_remove(&entry->all);
	pool_free(entry->pool);
	free(entry);
}

static struct listener_state *take_state(struct generations *books, const char *name)
{
	struct listener_state *state = find_state(books, name);

	if (!state) {
		state = calloc(1, sizeof(*state));
		if (!state)
			return NULL;
		(void)snprintf(state->name, sizeof(state->name), "%s", name);
		list_append(&books->states, &state->all);
	}
	state->references++;
	return state;
}

static void give_state(struct listener_state *state)
{
	if (--state->references)
		return;
	list_remove(&state->all);
	free(state);
}

/* All but the configuration. */
static void let_go(struct generation *generation)
{
	for (size_t i = 0; generation->rules && i < generation->conf->n_listeners; i++) {
		if (generation->rules[i].state)
			give_state(generation->rules[i].state);
	}
	for (size_t i = 0; generation->pools && i < generation->conf->n_backends; i++) {
		if (generation->pools[i])
			give_pool(generation->pools[i]);
	}
	free(generation->rules);
	free(generation->pools);
	free(generation->uses);
	free(generation->log_marks);
	free(generation);
}

static void free_generation(struct generation *generation)
{
	struct conf *conf = generation->conf;

	let_go(generation);
	conf_free(conf);
}

static int fill_rules(struct generations *books, struct generation *generation)
{
	const struct conf *conf = generation->conf;

	for (size_t i = 0; i < conf->n_backends; i++) {
		int err = take_pool(books, &conf->backends[i], &generation->pools[i]);

		if (err)
			return err;
	}
	for (size_t i = 0; i < conf->n_listeners; i++) {
		struct rules *rules = &generation->rules[i];

		rules->conf = &conf->listeners[i];
		rules->generation = generation;
		rules->state = take_state(books, rules->conf->name);
		if (!rules->state)
			return -ENOMEM;
		if (rules->conf->backend)
			rules->pool =
				generation->pools[rules->conf->backend - conf->backends]->pool;
	}
	return 0;
}

static int allocate(struct generation *generation, unsigned n_workers)
{
	const struct conf *conf = generation->conf;
	size_t size = (n_workers + 1) * sizeof(*generation->uses);

	generation->rules = calloc(conf->n_listeners + 1, sizeof(*generation->rules));
	generation->pools = calloc(conf->n_backends + 1, sizeof(*generation->pools));
	generation->log_marks = calloc(n_workers + 1, sizeof(*generation->log_marks));
	generation->uses = aligned_alloc(_Alignof(struct generation_use), size);
	if (!generation->rules || !generation->pools || !generation->log_marks || !generation->uses)
		return -ENOMEM;
	for (unsigned i = 0; i < n_workers; i++)
		generation->uses[i].count = 1; /* while it is the worker's newest */
	return 0;
}

int generation_new(struct generations *books, struct conf *conf, struct generation **ret)
{
	struct generation *generation = calloc(1, sizeof(*generation));
	int err;

	if (!generation)
		return -ENOMEM;
	generation->conf = conf;
	err = allocate(generation, books->n_workers);
	if (!err)
		err = fill_rules(books, generation);
	if (err) {
		let_go(generation);
		return err;
	}
	*ret = generation;
	return 0;
}

void generation_discard(struct generation *generation)
{
	if (generation)
		free_generation(generation);
}

void generation_publish(struct generations *books, struct generation *generation, unsigned told)
{
	struct generation *before = books->newest;

	generation->references = 1 + told;
	generation->number = ++books->number;
	list_append(&books->all, &generation->all);
	books->newest = generation;
	if (before)
		__atomic_fetch_sub(&before->references, 1, __ATOMIC_RELEASE);
}

/* Names of listeners and backends may still be queued for the client log. */
static bool is_logged(struct generation *generation, const struct client_log *log)
{
	if (!log)
		return true;
	if (!generation->retired)
		client_log_mark(log, generation->log_marks);
	generation->retired = true;
	return client_log_passed(log, generation->log_marks);
}

void generations_sweep(struct generations *books, const struct client_log *log)
{
	struct list *item = books->all.next;

	while (item != &books->all) {
		struct generation *generation = container_of(item, struct generation, all);

		item = item->next;
		if (__atomic_load_n(&generation->references, __ATOMIC_ACQUIRE) ||
		    !is_logged(generation, log))
			continue;
		list_remove(&generation->all);
		free_generation(generation);
	}
}

void generations_free(struct generations *books)
{
	while (books->all.next && !list_empty(&books->all)) {
		struct generation *generation = container_of(books->all.next, struct generation,
							     all);

		list_remove(&generation->all);
		free_generation(generation);
	}
	books->newest = NULL;
}

struct rules *generation_rules(const struct generation *generation, const struct up_addr *addr)
{
	for (size_t i = 0; i < generation->conf->n_listeners; i++) {
		if (conf_binds(&generation->conf->listeners[i], addr))
			return &generation->rules[i];
	}
	return NULL;
}
