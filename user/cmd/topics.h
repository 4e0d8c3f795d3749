/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is to say beside the commands: `unproxy help TOPIC`, and sections of unproxy(8). */
#ifndef CMD_TOPICS_H
#define CMD_TOPICS_H

#include <stddef.h>

struct topic {
	const char *name;
	const char *title; /* of the section in unproxy(8) */
	const char *text;  /* base/markup.h */
};

/* In the man page's order; the commands stand behind the first. */
extern const struct topic topics[];
extern const size_t n_topics;

#endif
