// SPDX-License-Identifier: BSD-2-Clause
#include "obs/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"

#define STATUS_MAX 256

void notify_ready(const char *status)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=%.*s", STATUS_MAX, status);
}

void notify_status(const char *format, ...)
{
	char text[STATUS_MAX];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	(void)sd_notifyf(0, "STATUS=%s", text);
}

void notify_reloading(void)
{
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
			 (unsigned long long)clock_us(CLOCK_MONOTONIC));
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

void notify_main(pid_t pid)
{
	(void)sd_notifyf(0, "MAINPID=%d\nREADY=1", (int)pid);
}

uint64_t notify_watchdog_us(void)
{
	uint64_t us = 0;

	return sd_watchdog_enabled(0, &us) > 0 ? us : 0;
}

void notify_watchdog(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

int notify_store(const char *name, const int *fds, unsigned n)
{
	char text[128];
	int r;

	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	r = sd_pid_notify_with_fds(0, 0, text, fds, n);
	return r > 0 ? 0 : r < 0 ? r : -ENOTCONN;
}

void notify_unstore(const char *name)
{
	(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

int notify_barrier(uint64_t timeout_us)
{
	int r = sd_notify_barrier(0, timeout_us);

	return r > 0 ? 0 : r < 0 ? r : -ENOTCONN;
}
