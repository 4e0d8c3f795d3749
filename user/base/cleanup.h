/* SPDX-License-Identifier: BSD-2-Clause */
/* Ownership by attribute: every owning local names its destructor; escape is explicit. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_free_ _cleanup_(cleanup_free)

/* Give the descriptor away: the local no longer owns it. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Give the pointer away: the local no longer owns it. */
#define TAKE_PTR(p)                         \
	({                                  \
		__typeof__(p) *_p = &(p);   \
		__typeof__(p) _taken = *_p; \
		*_p = NULL;                 \
		_taken;                     \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
