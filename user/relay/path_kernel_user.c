// SPDX-License-Identifier: BSD-2-Clause
/*
 * Path `kernel`, user mode: bytes that the program passed up because the target was full.
 * When and why the modes change is path_kernel.c's.
 */
#include <errno.h>
#include <sys/socket.h>

#include "relay/accel.h"
#include "relay/law.h"
#include "relay/path_copy.h"
#include "relay/path_kernel.h"

/* A congested target is looked at again after this, doubling while nothing moves. */
#define WAIT_FIRST_US 100
#define WAIT_LAST_US 51200

/* Bytes kept unread for nudge(), how often it looks, and after how long. */
#define NUDGES 32U
#define NUDGE_LOOKS 32U
#define NUDGE_US 100

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

/*
 * Kernel mode, just begun. Our read opened the sender's window, and a sender on this host
 * answered from within that recv(), which holds the socket: what comes then counts in the
 * socket's backlog until __release_sock() is through, a buffer filled by that shuts the
 * window, and nobody would open it before the sender's probe, 200 ms on. Hence the bytes kept
 * unread: each one read opens the window again, for as long as we look. Later segments
 * come from the softirq, and the window stays open by itself; what is left unread then
 * does no harm.
 */
enum relay_result accel_nudge(struct session *session, enum way way)
{
	struct flow *flow = flow_of(session, way);
	struct accel *accel = flow->accel;
	uint32_t seen = (uint32_t)kern_direction_seen(&accel->dir);

	if (!accel->ahead || accel->looks == NUDGE_LOOKS)
		return RELAY_AGAIN;
	accel->looks++;
	if (seen == accel->seen && read_ahead(session, way, accel->ahead - 1))
		return RELAY_ERROR;
	accel->seen = seen;
	flow->wake_us = NUDGE_US;
	return RELAY_AGAIN;
}

/* The target takes what it can of n peeked bytes, the first `ahead` of which it has. */
static void send_peeked(struct session *session, enum way way, uint32_t n)
{
	struct flow *flow = flow_of(session, way);
	struct leg *target = target_of(session, way);
	ssize_t sent = send(target->source.fd, session->worker->peeked + flow->accel->ahead,
			    n - flow->accel->ahead, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENOMEM)
			leg_died(target, errno);
		return;
	}
	flow->accel->ahead += (uint32_t)sent;
	flow->copied += (uint64_t)sent;
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
	return read_ahead(session, way, NUDGES) ? RELAY_ERROR : accel_nudge(session, way);
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
