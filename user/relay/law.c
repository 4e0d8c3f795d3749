// SPDX-License-Identifier: BSD-2-Clause
#include "relay/law.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* <netinet/tcp.h> of glibc knows a shorter struct tcp_info: no byte counters. */
#include <linux/tcp.h>

/* Of include/net/tcp_states.h; <netinet/tcp.h>, which has it, clashes with <linux/tcp.h>. */
#define TCP_STATE_CLOSE 7

static int read_info(int fd, struct tcp_info *ret)
{
	socklen_t len = sizeof(*ret);

	*ret = (struct tcp_info){ 0 };
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret, &len) < 0 ? -errno : 0;
}

int law_received(const struct session *session, enum way way, uint64_t *ret)
{
	const struct leg *source = &session->legs[way == UP ? FRONT : BACK];
	struct tcp_info info;
	uint64_t received;
	int err;

	err = read_info(source->source.fd, &info);
	if (err)
		return err;
	received = info.tcpi_bytes_received;
	/* A FIN counts as one: tcp_fin() comes after rcv_nxt took it in. */
	if (source->flags & LEG_HUP)
		received--;
	if (way == UP)
		received -= session->header_len;
	*ret = received;
	return 0;
}

bool law_hides_reset(const struct session *session, enum way way)
{
	const struct leg *source = &session->legs[way == UP ? FRONT : BACK];
	struct tcp_info info;

	if (session->flows[way == UP ? DOWN : UP].ended)
		return false;
	return read_info(source->source.fd, &info) || info.tcpi_state == TCP_STATE_CLOSE;
}

uint32_t law_queued(const struct leg *target)
{
	int queued = 0;

	if (ioctl(target->source.fd, SIOCOUTQ, &queued) < 0 || queued < 0)
		return 0;
	return (uint32_t)queued;
}

int law_written(const struct session *session, enum way way, uint64_t *ret)
{
	const struct leg *target = &session->legs[way == UP ? BACK : FRONT];
	struct tcp_info info;
	uint64_t written;
	int err;

	/* In this order: what is acknowledged in between is missed, never counted twice. */
	err = read_info(target->source.fd, &info);
	if (err)
		return err;
	written = info.tcpi_bytes_acked + law_queued(target);
	/* The connecting side counts the acknowledgement of its SYN; then what we wrote. */
	if (way == UP)
		written -= 1 + session->written_header;
	*ret = written;
	return 0;
}
