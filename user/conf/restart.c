/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/restart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/keys.h"

/* Of the field that a key's value goes to; 0: it is no plain value. */
static size_t plain_size(enum key_type type)
{
	switch (type) {
	case KEY_BOOL:
		return sizeof(bool);
	case KEY_WORD:
	case KEY_NUMBER:
	case KEY_SIZE:
	case KEY_MILLISECONDS:
	case KEY_SECONDS:
		return sizeof(uint32_t);
	case KEY_SIZE64:
		return sizeof(uint64_t);
	case KEY_ENDPOINT:
		return sizeof(struct up_addr);
	case KEY_GROUP:
		return sizeof(gid_t);
	default:
		return 0;
	}
}

static int keep_text(char **next, const char *running)
{
	char *copy = NULL;

	if (*next == running || (*next && running && strcmp(*next, running) == 0))
		return 0;
	if (running) {
		copy = strdup(running);
		if (!copy)
			return -ENOMEM;
	}
	free(*next);
	*next = copy;
	return 1;
}

/* 1: it differed, 0: it did not, -ENOMEM. */
static int keep(const struct key *key, struct conf *next, const struct conf *running)
{
	size_t size = plain_size(key->type);
	char *to = (char *)next + key->offset;
	const char *from = (const char *)running + key->offset;

	if (key->type == KEY_PATH || key->type == KEY_SOCKET || key->type == KEY_NAME)
		return keep_text((char **)(void *)to, *(char *const *)(const void *)from);
	if (memcmp(to, from, size) == 0)
		return 0;
	memcpy(to, from, size);
	return 1;
}

int conf_keep_running(struct conf *next, const struct conf *running, char *names, size_t size)
{
	size_t at = 0;

	names[0] = '\0';
	for (size_t i = 0; i < n_keys; i++) {
		int r = keys[i].restart ? keep(&keys[i], next, running) : 0;

		if (r < 0)
			return r;
		if (r > 0 && at < size)
			at += (size_t)snprintf(names + at, size - at, "%s%s", at ? ", " : "",
					       keys[i].name);
	}
	return 0;
}
