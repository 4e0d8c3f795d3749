// SPDX-License-Identifier: BSD-2-Clause
#include "doctor/probe.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/socket.h"

static void end(struct probe *probe, enum probe_end how, int err)
{
	probe->end = how;
	probe->err = err;
	(void)close(probe->fd);
	probe->fd = -1;
}

/* The source may be bound anywhere: the port is the kernel's choice. */
static int bind_source(int fd, const struct up_addr *from)
{
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(from, &sa);

	return len && bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

static void begin(struct probe *probe)
{
	int err = 0;

	probe->end = PROBE_SILENT;
	probe->err = 0;
	probe->fd = socket_for(&probe->to);
	if (probe->fd < 0) {
		probe->end = PROBE_ERROR;
		probe->err = -probe->fd;
		return;
	}
	if (probe->from.family != UP_FAMILY_NONE)
		err = bind_source(probe->fd, &probe->from);
	if (!err)
		err = socket_start(probe->fd, &probe->to, false);
	if (err)
		end(probe, PROBE_ERROR, -err);
}

/* What was never made is refused (ECONNREFUSED), and not reset. */
static bool is_reset(int err)
{
	return err == ECONNRESET || err == EPIPE;
}

static void fail(struct probe *probe, int err)
{
	end(probe, is_reset(err) ? PROBE_RESET : PROBE_ERROR, err);
}

/* Connected: say it all, and that it is all. A header fits into any send buffer. Whoever resets
 * at once may be quicker than our look at whether it is connected. */
static void speak(struct probe *probe, bool *connected)
{
	int err = -socket_error(probe->fd);

	if (!probe->bytes && (!err || is_reset(err)))
		end(probe, PROBE_OPEN, 0);
	else if (err)
		fail(probe, err);
	else if (send(probe->fd, probe->bytes, probe->len, MSG_NOSIGNAL) < 0)
		fail(probe, errno);
	else
		*connected = true;
	if (*connected)
		(void)shutdown(probe->fd, SHUT_WR);
}

static void listen_to(struct probe *probe)
{
	char buf[512];
	ssize_t n = recv(probe->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		end(probe, PROBE_ANSWER, 0);
	else if (n == 0)
		end(probe, PROBE_CLOSED, 0);
	else if (errno != EAGAIN && errno != EINTR)
		fail(probe, errno);
}

/* One wait, and what it brought. Returns how many probes are still under way. */
static size_t round_of(struct probe *probes, bool *connected, size_t n, uint64_t left_us)
{
	struct pollfd fds[PROBES_MAX];
	size_t open = 0;

	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = probes[i].fd,
					  .events = connected[i] ? POLLIN : POLLOUT };
	if (poll(fds, n, (int)((left_us + 999) / 1000)) < 0 && errno != EINTR)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (probes[i].fd >= 0 && fds[i].revents && connected[i])
			listen_to(&probes[i]);
		else if (probes[i].fd >= 0 && fds[i].revents)
			speak(&probes[i], &connected[i]);
		open += probes[i].fd >= 0;
	}
	return open;
}

void probe_run(struct probe *probes, size_t n, unsigned timeout_ms)
{
	uint64_t deadline = clock_us(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * 1000;
	bool connected[PROBES_MAX] = { 0 };
	uint64_t left_us = 1;
	size_t open = 0;

	if (n > PROBES_MAX)
		n = PROBES_MAX;
	for (size_t i = 0; i < n; i++) {
		begin(&probes[i]);
		open += probes[i].fd >= 0;
	}
	/* A last look behind the deadline: it may be we who were not there. */
	while (open && left_us) {
		uint64_t now = clock_us(CLOCK_MONOTONIC);

		left_us = now < deadline ? deadline - now : 0;
		open = round_of(probes, connected, n, left_us);
	}
	for (size_t i = 0; i < n; i++) {
		if (probes[i].fd >= 0)
			end(&probes[i], connected[i] ? PROBE_SILENT : PROBE_ERROR,
			    connected[i] ? 0 : ETIMEDOUT);
	}
}
