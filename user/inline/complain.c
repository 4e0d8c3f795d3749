// SPDX-License-Identifier: BSD-2-Clause
#include "inline/complain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "obs/log.h"

void complain(struct conf_error *error, const char *format, ...)
{
	struct conf_error said;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(said.text, sizeof(said.text), format, ap);
	va_end(ap);
	log_error("%s", said.text);
	if (error)
		*error = said;
}
