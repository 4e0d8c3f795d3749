// SPDX-License-Identifier: BSD-2-Clause
#include "base/why.h"

#include <stdio.h>
#include <string.h>

int why_error(char *why, size_t size, const char *what, int err)
{
	(void)snprintf(why, size, "%s: %s", what, strerror(-err));
	return err;
}
