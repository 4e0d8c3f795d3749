// SPDX-License-Identifier: BSD-2-Clause
/*
 * Path `kernel`, user mode: bytes that the program passed up because the target was full.
 * When and why the modes change is path_kernel.c's.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/socket.h"
#include "relay/accel.h"
#include "relay/law.h"
#include "relay/path_copy.h"
#include "relay/path_kernel.h"

/* A congested target is looked at again after this, doubling while nothing moves. */
#define WAIT_FIRST_US 100
#define WAIT_LAST_US 51200

/* Bytes kept unread in kernel mode, for a peek to open a shut window. */
#define KEEPS 1U

/* Bytes that user space has taken since the program sees the socket. */
static uint64_t consumed(const struct flow *flow)
{
	return flow->copied - flow->accel->before;
}

enum relay_result accel_wait(struct flow *flow)
{
	struct accel *accel = flow->accel;

	accel->wait_us = accel->wait_us ? accel->wait_us * 2 : WAIT_FIRST_US;
	if (accel->wait_us > WAIT_LAST_US)
		accel->wait_us = WAIT_LAST_US;
	flow->wake_us = accel->wait_us;
	return RELAY_AGAIN;
}

/* Read what was peeked and sent, but for the last `keep` bytes. */
static int read_ahead(struct session *session, enum way way, uint32_t keep)
{
	struct accel *accel = flow_of(session, way)->accel;

	while (accel->ahead > keep) {
		ssize_t got = recv(source_of(session, way)->source.fd, session->worker->peeked,
				   accel->ahead - keep, MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			session->reason = "bytes_unreadable";
			return -EIO;
		}
		accel->ahead -= (uint32_t)got;
	}
	return 0;
}

/* Kernel mode: the program asked for it, see its window_shut(). A peek tells the sender of the
 * room there is, as a read would. */
enum relay_result accel_open_window(struct session *session, enum way way)
{
	char byte;

	if (kern_direction_shut(&flow_of(session, way)->accel->dir))
		(void)recv(source_of(session, way)->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return RELAY_AGAIN;
}

/* The target takes what it can of n peeked bytes, the first `ahead` of which it has. */
static void send_peeked(struct session *session, enum way way, uint32_t n)
{
	struct flow *flow = flow_of(session, way);
	struct leg *target = target_of(session, way);
	ssize_t sent = socket_send(target->source.fd, session->worker->peeked + flow->accel->ahead,
				   n - flow->accel->ahead, 0);

	if (sent < 0) {
		if (!socket_error_passes((int)-sent))
			leg_died(target, (int)-sent);
		return;
	}
	flow->accel->ahead += (uint32_t)sent;
	flow_copied(session, way, (uint64_t)sent);
}

/* Copy as any flow is copied. The bytes that are ahead have been sent. */
static enum relay_result copy_kept(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	enum relay_result result;

	if (read_ahead(session, way, 0))
		return RELAY_ERROR;
	source_of(session, way)->flags |= LEG_READABLE;
	result = copy_move(session, way);
	if (result == RELAY_EOF)
		return accel_finish(session, way);
	if (result == RELAY_AGAIN && !flow->chunk)
		flow->wake_us = 1;
	return result;
}

/* Both directions under the program go together: what one passes up must not queue behind
 * what the other redirects to the same socket (sk_psock_backlog() would charge it without
 * the socket's lock, and a reader that waits for its own upload would never read). */
static struct flow *coupled(struct session *session, enum way way)
{
	struct flow *other = flow_of(session, way == UP ? DOWN : UP);

	return other->accel && !other->ended && !other->kernel_refused ? other : NULL;
}

/* Every byte is sent: let the kernel go on, unless more has come or the other direction is
 * not as far. */
static enum relay_result give_back(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way), *other = coupled(session, way);
	struct accel *accel = flow->accel;

	accel->ready = true;
	if (other && !other->accel->ready) {
		leg_watch_input(session, source_of(session, way), true);
		return read_ahead(session, way, 0) ? RELAY_ERROR : RELAY_AGAIN;
	}
	kern_direction_keeps(&accel->dir, accel->ahead);
	if (other)
		kern_direction_keeps(&other->accel->dir, other->accel->ahead);
	if (!kern_direction_resume(&accel->dir, consumed(flow))) {
		accel->ready = false;
		return accel_wait(flow); /* more came */
	}
	if (other && !kern_direction_resume(&other->accel->dir, consumed(other))) {
		other->accel->ready = false;
		kern_direction_take(&accel->dir);
		accel_to_user(session, way);
		return read_ahead(session, way, 0) ? RELAY_ERROR : accel_wait(flow);
	}
	accel_to_kernel(session, way);
	if (other)
		accel_to_kernel(session, way == UP ? DOWN : UP);
	return read_ahead(session, way, KEEPS) ? RELAY_ERROR : RELAY_AGAIN;
}

/*
 * User mode, second part: move what the kernel kept for us, and give the direction back.
 *
 * The bytes are peeked, sent, and read only when the kernel has the direction again:
 * reading is what opens the sender's window, and a sender that is faster than we copy would
 * never let us catch up. So it fills its window once and stops, the swap succeeds, and the
 * read after it lets the sender go on, straight into the redirect.
 */
enum relay_result accel_move_kept(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct accel *accel = flow->accel;
	ssize_t got = recv(source_of(session, way)->source.fd, session->worker->peeked, RELAY_PEEK,
			   MSG_PEEK | MSG_DONTWAIT);

	if (got < 0 && errno != EAGAIN && errno != EINTR)
		leg_died(source_of(session, way), errno);
	if (got == 0 || source_of(session, way)->flags & LEG_DEAD)
		return accel_finish(session, way);
	accel->ready = false;
	if (got == RELAY_PEEK) /* far behind: copy, until little is left */
		return copy_kept(session, way);
	if (got > accel->ahead) {
		accel->wait_us = 0;
		send_peeked(session, way, (uint32_t)got);
	}
	if (got > accel->ahead || law_queued(target_of(session, way)) > RESUME_QUEUED) {
		accel->waiting = true;
		return accel_wait(flow);
	}
	return give_back(session, way);
}
