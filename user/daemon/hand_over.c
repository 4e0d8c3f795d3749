// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/hand_over.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/socket.h"
#include "ctl/socket.h"
#include "daemon/offer_all.h"
#include "obs/log.h"
#include "obs/notify.h"
#include "takeover/message.h"
#include "takeover/record.h"

/* A new daemon loads its programs meanwhile, on a busy host. */
#define PREPARE_US (120 * 1000000ULL)
#define ANSWER_US (60 * 1000000ULL)

/* Room for what is on its way: the kernel doubles it. */
#define CHANNEL_BYTES (1 << 20)

enum stage {
	EMPTY,    /* no guest */
	GREETING, /* ... has come in */
	OFFERED,  /* ... knows what there is, and prepares */
	CLEARED,  /* ... starts */
	GIVING,   /* the workers hand over */
	TOTALLED, /* ... have; the guest takes what is left */
	STORING,  /* without a guest: the service manager keeps what the workers give */
	RETIRED,  /* all is another's */
};

static const char *const steps[] = {
	[EMPTY] = "none",    [GREETING] = "greeting",  [OFFERED] = "prepare",
	[CLEARED] = "start", [GIVING] = "connections", [TOTALLED] = "services",
	[STORING] = "store", [RETIRED] = "retired",
};

struct hand_over_door {
	struct hand_over_host host;
	char *path;
	struct ctl_socket door;
	struct loop_source source, guest, handed;
	struct loop_timer patience;
	enum stage stage;
	pid_t pid;       /* the guest's */
	unsigned giving; /* workers that have not finished */
	struct offered offered;
	struct up_addr *served;
	size_t n_served;
	uint64_t before;             /* relay->handed when it began */
	hand_over_stored_fn *stored; /* STORING: when all is */
	void *context;
	uint8_t buf[MESSAGE_MAX];
};

/* ---- nothing came of it ---- */

static void forget_guest(struct hand_over_door *door)
{
	loop_timer_cancel(door->host.loop, &door->patience);
	if (door->guest.fn)
		loop_remove(door->host.loop, &door->guest);
	cleanup_close(&door->guest.fd);
	door->guest.fd = -1;
	offered_free(&door->offered);
	free(TAKE_PTR(door->served));
	door->n_served = 0;
}

/* Have again what was let go of. why: NULL is not worth a word. */
static void abandon(struct hand_over_door *door, const char *why)
{
	struct relay *relay = door->host.relay;
	enum stage stage = door->stage;

	if (why)
		log_warn("takeover.failed pid=%d step=%s reason=\"%s\" action=\"this daemon goes "
			 "on\"",
			 door->pid, steps[stage], why);
	forget_guest(door);
	door->stage = EMPTY;
	for (unsigned i = 0; stage >= GIVING && i < relay->n_workers; i++)
		worker_command(relay->workers[i], WORKER_KEEP);
	relay->kern_told = false;
	door->host.change->told = false;
	if (stage >= TOTALLED)
		door->host.services(door->host.context, false);
	if (stage >= CLEARED)
		door->host.inline_engine(door->host.context, false);
}

static void on_patience(struct loop_timer *timer)
{
	abandon(container_of(timer, struct hand_over_door, patience), "it does not answer");
}

static void say_refused(int fd, const char *why)
{
	uint8_t buf[256];
	struct writer w = message_begin(TAKEOVER_REFUSED, buf, sizeof(buf));

	write_text(&w, why);
	(void)message_send(fd, &w, buf, NULL, 0);
}

/* ---- what the guest says, in order ---- */

static int on_hello(struct hand_over_door *door, struct reader *body)
{
	uint16_t lowest = read_u16(body), highest = read_u16(body);
	int err;

	if (body->overrun || lowest > TAKEOVER_VERSION || highest < TAKEOVER_VERSION) {
		say_refused(door->guest.fd, "it speaks another version");
		return -EPROTONOSUPPORT;
	}
	err = offer_all(door->host.relay, door->host.change, door->guest.fd, true, &door->offered);
	if (err)
		say_refused(door->guest.fd, strerror(-err));
	door->stage = OFFERED;
	door->host.change->told = true;
	(void)loop_timer_arm(door->host.loop, &door->patience, PREPARE_US);
	return err;
}

/* Does it share the relay's maps? And a bit for each listening socket that it serves. */
static int on_prepared(struct hand_over_door *door, struct reader *body)
{
	bool shares = read_u8(body);
	const uint8_t *bits = read_view(body, (door->offered.n_sockets + 7) / 8);

	if (!bits)
		return -EBADMSG;
	door->served = calloc(door->offered.n_sockets + 1, sizeof(*door->served));
	if (!door->served)
		return -ENOMEM;
	for (size_t i = 0; i < door->offered.n_sockets; i++) {
		if (bits[i / 8] >> i % 8 & 1)
			door->served[door->n_served++] = door->offered.sockets[i];
	}
	door->host.relay->kern_told = shares;
	door->stage = CLEARED;
	door->host.inline_engine(door->host.context, true);
	(void)loop_timer_arm(door->host.loop, &door->patience, ANSWER_US);
	return message_send_word(door->guest.fd, TAKEOVER_CLEAR);
}

static void free_stats(struct stats **stats)
{
	stats_free(*stats);
}

/* Connections that have gone since it began. */
static uint64_t handed(const struct hand_over_door *door)
{
	return __atomic_load_n(&door->host.relay->handed, __ATOMIC_RELAXED) - door->before;
}

int hand_over_totals(const struct hand_over_door *door, int fd)
{
	const struct hand_over_host *host = &door->host;
	_cleanup_(free_stats) struct stats *stats = NULL;
	int err = host->figures(host->context, &stats);
	struct offer_last last = {
		.relay = host->relay,
		.stats = stats,
		.handed = handed(door),
		.control = host->control(host->context),
		.door = door->door.fd,
	};

	last.metrics = host->metrics(host->context, &last.metrics_addr);
	return err ? err : offer_totals(&last, fd);
}

static int say_totals(struct hand_over_door *door)
{
	door->stage = TOTALLED;
	door->host.services(door->host.context, true);
	(void)loop_timer_arm(door->host.loop, &door->patience, ANSWER_US);
	return hand_over_totals(door, door->guest.fd);
}

static int on_begin(struct hand_over_door *door)
{
	struct relay *relay = door->host.relay;

	loop_timer_cancel(door->host.loop, &door->patience); /* the workers have their own */
	door->stage = GIVING;
	door->giving = relay->n_workers;
	door->before = __atomic_load_n(&relay->handed, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < relay->n_workers; i++) {
		relay->workers[i]->channel = take_fd(&door->offered.channels[i]);
		worker_command(relay->workers[i], WORKER_HAND_OVER);
	}
	return door->giving ? 0 : say_totals(door);
}

static int on_committed(struct hand_over_door *door)
{
	struct relay *relay = door->host.relay;

	log_info("takeover.done to=%d connections=%llu kept=%u", door->pid,
		 (unsigned long long)handed(door),
		 __atomic_load_n(&relay->connections, __ATOMIC_RELAXED));
	relay->served = TAKE_PTR(door->served);
	relay->n_served = door->n_served;
	relay_share_pins(relay, true);
	notify_main(door->pid);
	forget_guest(door);
	door->stage = RETIRED;
	door->host.retire(door->host.context);
	return 0;
}

static int hear(struct hand_over_door *door, struct message *message)
{
	if (message->kind == TAKEOVER_HELLO && door->stage == GREETING)
		return on_hello(door, &message->body);
	if (message->kind == TAKEOVER_PREPARED && door->stage == OFFERED)
		return on_prepared(door, &message->body);
	if (message->kind == TAKEOVER_BEGIN && door->stage == CLEARED)
		return on_begin(door);
	if (message->kind == TAKEOVER_COMMITTED && door->stage == TOTALLED)
		return on_committed(door);
	return -EBADMSG;
}

static void on_guest(struct loop_source *source, uint32_t events)
{
	struct hand_over_door *door = container_of(source, struct hand_over_door, guest);
	struct message message;
	int err = message_receive(source->fd, door->buf, sizeof(door->buf), &message);

	(void)events;
	if (err == -EAGAIN)
		return;
	if (!err) {
		err = hear(door, &message);
		message_close(&message);
	}
	if (err == -ENOTCONN) /* without a word: it only looked whether somebody answers */
		abandon(door, door->stage == GREETING ? NULL : "it has ended");
	else if (err)
		abandon(door, strerror(-err));
}

static void on_handed(struct loop_source *source, uint32_t events)
{
	struct hand_over_door *door = container_of(source, struct hand_over_door, handed);
	uint64_t count = 0;
	int err;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	door->giving -= (unsigned)count;
	if (!door->giving && door->stage == STORING)
		door->stored(door->context, handed(door));
	if (door->giving || door->stage != GIVING)
		return;
	err = say_totals(door);
	if (err)
		abandon(door, strerror(-err));
}

/* ---- the door ---- */

/* NULL: it may come in. */
static const char *objection(const struct hand_over_door *door, int fd)
{
	if (!message_peer_is_ours(fd))
		return "neither root nor the daemon's user";
	if (hand_over_is_busy(door))
		return "another takeover is under way";
	if (door->host.change->stopping) /* some of its workers may have ended */
		return "it is stopping, and ends with its last connection";
	return NULL;
}

static pid_t pid_of(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ? 0 : peer.pid;
}

static void on_door(struct loop_source *source, uint32_t events)
{
	struct hand_over_door *door = container_of(source, struct hand_over_door, source);
	int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	const char *why;

	(void)events;
	if (fd < 0)
		return;
	why = objection(door, fd);
	if (why) {
		log_warn("takeover.refused pid=%d reason=\"%s\"", pid_of(fd), why);
		say_refused(fd, why);
		(void)close(fd);
		return;
	}
	/* Its word comes at once; what is sent to it may wait a little, as it reads. */
	(void)socket_set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, CHANNEL_BYTES);
	door->guest = (struct loop_source){ .fn = on_guest, .fd = fd };
	door->pid = pid_of(fd);
	door->stage = GREETING;
	(void)loop_timer_arm(door->host.loop, &door->patience, ANSWER_US);
	if (loop_add(door->host.loop, &door->guest, EPOLLIN))
		abandon(door, "out of memory");
}

static int open_handed(struct hand_over_door *door)
{
	door->handed.fn = on_handed;
	door->handed.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (door->handed.fd < 0)
		return -errno;
	door->host.relay->handed_fd = door->handed.fd;
	return loop_add(door->host.loop, &door->handed, EPOLLIN);
}

static int let_in(struct hand_over_door *door)
{
	door->source = (struct loop_source){ .fn = on_door, .fd = door->door.fd };
	return loop_add(door->host.loop, &door->source, EPOLLIN);
}

static int open_door(struct hand_over_door *door, int taken)
{
	const struct ctl_place place = {
		.path = door->path,
		.type = SOCK_SEQPACKET,
		.taken = taken,
	};
	char why[256];
	int err = ctl_socket_open(&place, &door->door, why, sizeof(why));

	return err ? err : let_in(door);
}

int hand_over_open(const char *path, int taken, const struct hand_over_host *host,
		   struct hand_over_door **ret)
{
	struct hand_over_door *door = calloc(1, sizeof(*door));
	int err;

	if (!door)
		return -ENOMEM;
	*door = (struct hand_over_door){
		.host = *host,
		.path = strdup(path),
		.door.fd = -1,
		.guest.fd = -1,
		.handed.fd = -1,
		.patience.fn = on_patience,
	};
	err = door->path ? open_handed(door) : -ENOMEM;
	if (!err)
		err = open_door(door, taken);
	if (err) {
		hand_over_close(door);
		return err;
	}
	*ret = door;
	return 0;
}

bool hand_over_is_busy(const struct hand_over_door *door)
{
	return door->stage != EMPTY || door->giving;
}

void hand_over_store(struct hand_over_door *door, int sessions, hand_over_stored_fn *stored,
		     void *context)
{
	struct relay *relay = door->host.relay;

	door->stage = STORING;
	door->stored = stored;
	door->context = context;
	door->giving = relay->n_workers;
	door->before = __atomic_load_n(&relay->handed, __ATOMIC_RELAXED);
	relay->storing = true;
	for (unsigned i = 0; i < relay->n_workers; i++) {
		/* -1: its worker sees an end that nobody is at, and keeps what it has. */
		relay->workers[i]->channel = fcntl(sessions, F_DUPFD_CLOEXEC, 0);
		worker_command(relay->workers[i], WORKER_HAND_OVER);
	}
}

void hand_over_pause(struct hand_over_door *door, bool pause)
{
	if (pause && door->source.fn)
		loop_remove(door->host.loop, &door->source);
	if (pause)
		return;
	if (let_in(door))
		log_warn("takeover.off reason=\"out of memory\"");
}

void hand_over_let_go(struct hand_over_door *door)
{
	hand_over_pause(door, true);
	ctl_socket_let_go(&door->door);
}

void hand_over_close(struct hand_over_door *door)
{
	if (!door)
		return;
	forget_guest(door);
	if (door->path)
		ctl_socket_close(&door->door, door->path);
	cleanup_close(&door->handed.fd);
	free(door->path);
	free(door);
}
