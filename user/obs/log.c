/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's own log on stderr: one line, one write(2). It does not buffer, rotate or
 * filter by anything but level; the client log is another thing (client/log).
 */
#include "obs/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 1024

static _Atomic int threshold = LOG_LEVEL_INFO;

static const struct {
	const char *journal; /* syslog priority, as journald reads it off a stream */
	const char *plain;
} prefixes[] = {
	[LOG_LEVEL_ERROR] = { "<3>", "error: " },
	[LOG_LEVEL_WARN] = { "<4>", "warn: " },
	[LOG_LEVEL_INFO] = { "<6>", "info: " },
	[LOG_LEVEL_DEBUG] = { "<7>", "debug: " },
};

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

/* JOURNAL_STREAM names the stream as DEVICE:INODE. It is inherited, so stderr may have
 * been sent elsewhere since: only the same inode is the journal. */
static bool stderr_is_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!env || sscanf(env, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* Append text to out: control characters as \xNN, so that no value forges a line. */
static size_t append_escaped(char *out, size_t at, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != 0x7f) {
			out[at++] = (char)c;
			continue;
		}
		out[at++] = '\\';
		out[at++] = 'x';
		out[at++] = hex[c >> 4];
		out[at++] = hex[c & 15];
	}
	return at;
}

void log_event(enum log_level level, const char *format, ...)
{
	char text[TEXT_MAX], line[16 + TEXT_MAX * 4 + 1];
	int saved = errno;
	size_t len = 0;
	ssize_t ignored;
	va_list ap;

	if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
		return;

	va_start(ap, format);
	if (vsnprintf(text, sizeof(text), format, ap) < 0)
		text[0] = '\0';
	va_end(ap);

	len = append_escaped(line, len,
			     stderr_is_journal() ? prefixes[level].journal : prefixes[level].plain);
	len = append_escaped(line, len, text);
	line[len++] = '\n';

	/* A log that cannot be written must not stop the daemon, and there is nowhere
	 * left to say so. */
	ignored = write(STDERR_FILENO, line, len);
	(void)ignored;
	errno = saved;
}
