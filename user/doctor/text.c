// SPDX-License-Identifier: BSD-2-Clause
#include "doctor/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

int text_read(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	while (n > 0 && buf[n - 1] == '\n')
		buf[--n] = '\0';
	for (char *at = buf; *at; at++) {
		if (*at == '\t')
			*at = ' ';
	}
	return 0;
}

int text_numbers(const char *path, long long *ret, int max)
{
	char buf[256];
	char *at = buf;
	int err = text_read(path, buf, sizeof(buf));
	int n = 0;

	if (err)
		return err;
	while (n < max) {
		char *end;
		long long number = strtoll(at, &end, 10);

		if (end == at)
			break;
		ret[n++] = number;
		at = end;
	}
	return n;
}
