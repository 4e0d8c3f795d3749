// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/take_kept.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "obs/log.h"
#include "relay/take_over.h"
#include "takeover/message.h"

#define WORKERS_MS 300000

void kept_close(struct relay *relay)
{
	for (size_t i = 0; i < relay->n_adopted; i++) {
		struct adopted *socket = &relay->adopted[i];
		char text[ADDR_TEXT_MAX];

		if (socket->fd < 0)
			continue;
		addr_format(&socket->addr, text, sizeof(text));
		log_warn("takeover.closed address=%s reason=\"no listener of this configuration "
			 "binds it\"",
			 text);
		cleanup_close(&socket->fd);
		socket->fd = -1;
	}
}

int kept_share(struct relay *relay, int sessions)
{
	relay->taken_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (relay->taken_fd < 0)
		return -errno;
	for (unsigned i = 0; sessions >= 0 && i < relay->n_workers; i++) {
		_cleanup_close_ int fd = fcntl(sessions, F_DUPFD_CLOEXEC, 0);
		int err = fd < 0 ? -errno : take_over_add(relay->workers[i], fd, true);

		if (err)
			return err;
		(void)take_fd(&fd);
	}
	return 0;
}

/* Nothing is relayed here: how many there were. */
static uint64_t read_away(int sessions)
{
	_cleanup_free_ uint8_t *buf = malloc(MESSAGE_MAX);
	struct message message;
	uint64_t n = 0;

	while (buf && sessions >= 0 && message_receive(sessions, buf, MESSAGE_MAX, &message) == 0) {
		message_close(&message);
		n++;
	}
	return n;
}

void kept_await(struct relay *relay, int sessions)
{
	struct pollfd poll_fd = { .fd = relay->taken_fd, .events = POLLIN };
	uint64_t over = 0, more;

	if (!relay->n_workers)
		relay->not_taken = read_away(sessions);
	while (sessions >= 0 && over < relay->n_workers) {
		if (poll(&poll_fd, 1, WORKERS_MS) <= 0 ||
		    read(relay->taken_fd, &more, sizeof(more)) != sizeof(more)) {
			log_warn("takeover.unfinished reason=\"a worker does not end it\"");
			return;
		}
		over += more;
	}
}
