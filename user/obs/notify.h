/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the service manager is told, sd_notify(3). Without NOTIFY_SOCKET in the environment
 * each of these does nothing. From the main thread.
 */
#ifndef OBS_NOTIFY_H
#define OBS_NOTIFY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Listeners are open, or a reload is over. status: one line for `systemctl status`. */
void notify_ready(const char *status);

void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A reload begins; notify_ready() ends it, well or not. */
void notify_reloading(void);

void notify_stopping(void);

/* Another process is the service from now on; said by the one that was. */
void notify_main(pid_t pid);

/* How often the manager wants notify_watchdog(), in microseconds; 0: it does not. */
uint64_t notify_watchdog_us(void);

void notify_watchdog(void);

/* Have the manager keep n descriptors under that name and hand them to the next start, in
 * LISTEN_FDS; also such as nobody is at the other end of. Whether it does it is not said:
 * it closes what it does not keep. 0, -ENOTCONN without a manager, or -errno. */
int notify_store(const char *name, const int *fds, unsigned n);

/* It drops those it keeps under that name. */
void notify_unstore(const char *name);

/* Wait until the manager has acted on all that it was told before. 0, -ENOTCONN without a
 * manager, -ETIMEDOUT, or -errno. */
int notify_barrier(uint64_t timeout_us);

#endif
