/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bad line between two network namespaces: one TUN device in each, packets carried over by
 * this program, some of them lost, doubled or held back behind later ones. Kernels without
 * netem have nothing else. Layer 3, no offloads: what the program sees is what a wire sees.
 *
 *   lossy_link NETNS_A DEVICE_A NETNS_B DEVICE_B SEED LOSS DUPLICATE REORDER    (per mille)
 *
 * Prints "ready" when both devices exist; ends at EOF on stdin and prints its counters.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "stream_data.h"

#define PACKET_MAX 2048
#define HELD_MAX 16

/* A packet kept back until `behind` later ones have passed, or the line is idle. */
struct held {
	uint8_t data[PACKET_MAX];
	size_t len;
	unsigned behind;
};

struct line {
	int from, to;
	struct held held[HELD_MAX];
};

static struct {
	uint64_t random;
	unsigned loss, duplicate, reorder;
	unsigned long passed, lost, doubled, reordered;
} link_state;

static unsigned draw(unsigned below)
{
	link_state.random = stream_mix(link_state.random);
	return (unsigned)(link_state.random % below);
}

static void die(const char *what)
{
	fprintf(stderr, "lossy_link: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int open_tun(const char *netns, const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int ns = open(netns, O_RDONLY | O_CLOEXEC), fd;

	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		die(netns);
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		die("/dev/net/tun");
	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		die(name);
	return fd;
}

static void pass(struct line *line, const uint8_t *data, size_t len)
{
	/* A full device queue is one more loss: the line is bad anyway. */
	if (write(line->to, data, len) < 0)
		link_state.lost++;
	else
		link_state.passed++;
}

static void release(struct line *line, bool all)
{
	for (unsigned i = 0; i < HELD_MAX; i++) {
		struct held *held = &line->held[i];

		if (held->len && (all || held->behind-- == 0)) {
			pass(line, held->data, held->len);
			held->len = 0;
		}
	}
}

static bool hold(struct line *line, const uint8_t *data, size_t len)
{
	for (unsigned i = 0; i < HELD_MAX; i++) {
		struct held *held = &line->held[i];

		if (held->len)
			continue;
		memcpy(held->data, data, len);
		held->len = len;
		held->behind = 1 + draw(8);
		link_state.reordered++;
		return true;
	}
	return false;
}

static void carry(struct line *line)
{
	uint8_t data[PACKET_MAX];
	ssize_t n;

	for (int batch = 0; batch < 64 && (n = read(line->from, data, sizeof(data))) > 0; batch++) {
		if (draw(1000) < link_state.loss) {
			link_state.lost++;
			continue;
		}
		if (draw(1000) < link_state.reorder && hold(line, data, (size_t)n))
			continue;
		pass(line, data, (size_t)n);
		if (draw(1000) < link_state.duplicate) {
			link_state.doubled++;
			pass(line, data, (size_t)n);
		}
		release(line, false);
	}
}

int main(int argc, char **argv)
{
	static struct line there, back;
	struct pollfd fds[3] = { { .fd = 0, .events = POLLIN } };

	if (argc != 9) {
		fprintf(stderr, "usage: lossy_link NETNS_A DEVICE_A NETNS_B DEVICE_B SEED LOSS "
				"DUPLICATE REORDER\n");
		return 2;
	}
	there.from = back.to = open_tun(argv[1], argv[2]);
	there.to = back.from = open_tun(argv[3], argv[4]);
	link_state.random = strtoull(argv[5], NULL, 0);
	link_state.loss = (unsigned)atoi(argv[6]);
	link_state.duplicate = (unsigned)atoi(argv[7]);
	link_state.reorder = (unsigned)atoi(argv[8]);
	fds[1] = (struct pollfd){ .fd = there.from, .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = back.from, .events = POLLIN };
	puts("ready");
	fflush(stdout);
	while (!fds[0].revents) {
		int n = poll(fds, 3, 2);

		if (n == 0) {
			release(&there, true);
			release(&back, true);
		}
		if (fds[1].revents)
			carry(&there);
		if (fds[2].revents)
			carry(&back);
	}
	printf("{\"passed\":%lu,\"lost\":%lu,\"doubled\":%lu,\"reordered\":%lu}\n",
	       link_state.passed, link_state.lost, link_state.doubled, link_state.reordered);
	return 0;
}
