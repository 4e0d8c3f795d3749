/* SPDX-License-Identifier: BSD-2-Clause */
/* Words of a configuration as numbers. Pure: no I/O, no logging. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All return 0, or -EINVAL with *ret untouched. None takes a sign or a space. */
int value_number(const char *text, uint64_t *ret);
int value_size(const char *text, uint64_t *ret);     /* 4096, 64k, 1m, 2g: powers of 1024 */
int value_duration(const char *text, uint64_t *ret); /* 250ms, 5s, 2m, 1h; 0, off -> milliseconds */
int value_bool(const char *text, bool *ret);         /* yes, no (on, off, true, false, 1, 0) */

/* The number as value_duration() and value_size() would read it, in its shortest form. */
void value_format_duration(uint64_t ms, char *buf, size_t size);
void value_format_size(uint64_t bytes, char *buf, size_t size);

/* The known word nearest to a mistyped one, or NULL if none is near. */
const char *value_nearest(const char *word, const char *const *known, size_t n_known);

#endif
