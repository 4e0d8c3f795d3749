/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request as a command sees it, and how it answers. A command's function returns 0 when it
 * has answered, or will: then it set `cancel`, and answers from the main thread's loop. Or it
 * returns -errno, which becomes the answer.
 */
#ifndef CTL_REQUEST_H
#define CTL_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/ctl.h"

#define CTL_PROTOCOL 1

struct ctl_request;

struct ctl_command {
	const char *name;
	int (*fn)(struct ctl_request *request);
	const char *args; /* names of what it takes, with a space between; others are refused */
	const char *help;
};

struct ctl_request {
	struct ctl_context *context;
	const struct ctl_command *command;
	json_t *args; /* the request's object; the request's own */
	json_t *id;   /* to be said in each line of the answer; NULL: none was given */
	pid_t pid;    /* who asks */
	uint64_t n_items;
	bool pending; /* not answered yet */
	bool paused;  /* enough waits to be read: `more` will be called */

	/* Of a command that answers later. */
	void *state;
	void (*cancel)(struct ctl_request *request); /* nobody waits any more: free state */
	void (*more)(struct ctl_request *request);   /* there is room for items again */
};

/* The answer. data is taken, NULL: an empty object. The request is over: a command that answers
 * later has freed its state before, and must not touch the request again. Returns 0. */
int ctl_reply(struct ctl_request *request, json_t *data);

/* The answer that ends a list: how many items there were. As ctl_reply(). */
int ctl_end(struct ctl_request *request);

/* The answer: not done, for a reason with a name; the text is for people. Returns 0. */
int ctl_fail(struct ctl_request *request, const char *error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A line of a list; item is taken. False: the client has enough to read for now; go on when
 * `more` is called. */
bool ctl_item(struct ctl_request *request, json_t *item);

/* The same of text that is JSON already. */
bool ctl_item_text(struct ctl_request *request, const char *json);

/* The text of an argument, or NULL if it is not there or no string. */
const char *ctl_text(const struct ctl_request *request, const char *name);

/* The configuration that new connections are served by. */
static inline const struct conf *ctl_conf(const struct ctl_request *request)
{
	return request->context->relay->generations.newest->conf;
}

#endif
