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

/* One line with its newline, free() it: {"v":1,"id":ID,KEY:VALUE...}. body is taken and its
 * members follow. NULL: no memory. */
char *ctl_line(const json_t *id, json_t *body);

#endif
