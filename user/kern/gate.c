// SPDX-License-Identifier: BSD-2-Clause
/* Which kernels may use the path: by version here, by running it in selftest.c. */
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "kern/kern.h"

/* First release of each long-term series with the fixes the path rests on. */
static const struct {
	unsigned major, minor, patch;
} first_good[] = {
	{ 6, 1, 165 },
	{ 6, 12, 75 },
	{ 6, 18, 16 },
};

int kern_gate(const char *release, char *why, size_t why_size)
{
	unsigned major, minor, patch = 0;

	if (sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2) {
		snprintf(why, why_size, "kernel release \"%s\" cannot be read", release);
		return -EOPNOTSUPP;
	}
	if (major > 6 || (major == 6 && minor > 18))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(first_good); i++) {
		if (major == first_good[i].major && minor == first_good[i].minor &&
		    patch >= first_good[i].patch)
			return 0;
	}
	snprintf(why, why_size, "kernel %s lacks fixes (needs 6.1.165, 6.12.75, 6.18.16 or newer)",
		 release);
	return -EOPNOTSUPP;
}
