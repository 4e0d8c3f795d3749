/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the control protocol as values. Pure: no I/O. */
#ifndef CTL_MESSAGE_H
#define CTL_MESSAGE_H

#include <jansson.h>
#include <stddef.h>

#include "ctl/request.h"

struct ctl_message {
	json_t *args; /* the whole object, NULL: not even that; the caller's */
	json_t *id;   /* in args, or NULL */
	const struct ctl_command *command;
	const char *error; /* static: why it is refused; NULL: it is not */
	char text[160];    /* ... for people */
};

/* Read a request without its newline. commands ends with a row without a name. */
struct ctl_message ctl_parse(const char *line, size_t len, const struct ctl_command *commands);

/* A text for people with what callers said in it, maybe cut in the midst of a character: what is
 * not ASCII becomes "?", because JSON takes no half characters. */
void ctl_plain(char *text);

/* A text that may not be UTF-8, such as what a configuration has: then as ctl_plain() makes it. The
 * caller's; NULL: no memory. */
json_t *ctl_string(const char *text);

/* A time, CLOCK_REALTIME: "2026-12-24T12:00:00Z"; 0: null. The caller's. */
json_t *ctl_date(uint64_t us);

/* One line with its newline, free() it: {"v":1,"id":ID,KEY:VALUE...}. body is taken and its
 * members follow. NULL: no memory. */
char *ctl_line(const json_t *id, json_t *body);

/* As ctl_line(), {"v":1,"id":ID,"item":JSON}. */
char *ctl_item_line(const json_t *id, const char *json);

#endif
