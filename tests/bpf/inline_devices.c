// SPDX-License-Identifier: BSD-2-Clause
#include "inline_devices.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "inline_caught.h"
#include "inline_lab.h"

#define MTU 65000
#define GSO_SIZE 1000

/* The sender's side, and the host's; by two for TAP and TUN. */
struct device {
	int fd;
	int ifindex;
};

static struct device taps[2], tuns[2];
static int lo_socket = -1;

static int write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) > 0 ? 0 : -errno;
}

static int bring_up(const char *name, bool ethernet)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_mtu = MTU };
	const char address[] = { 2, 0, 0, 0, 0, MAC_HOST };

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCSIFMTU, &request) < 0)
		return -errno;
	/* What is not addressed to the device is none of ours. */
	if (ethernet && ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return -errno;
	memcpy(request.ifr_hwaddr.sa_data, address, sizeof(address));
	if (ethernet && ioctl(fd, SIOCSIFHWADDR, &request) < 0)
		return -errno;
	request.ifr_flags = IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static int attach(int ifindex, enum bpf_tc_attach_point point, struct bpf_program *program,
		  uint32_t priority)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = priority,
		    .prog_fd = bpf_program__fd(program));
	int err = bpf_tc_hook_create(&hook);

	if (err && err != -EEXIST)
		return err;
	hook.attach_point = point;
	return bpf_tc_attach(&hook, &opts);
}

static int device_make(struct device *ret, const char *name, short kind)
{
	struct ifreq request = { .ifr_flags = (short)(kind | IFF_NO_PI | IFF_VNET_HDR) };

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	ret->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (ret->fd < 0 || ioctl(ret->fd, TUNSETIFF, &request) < 0 ||
	    ioctl(ret->fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		return -errno;
	ret->ifindex = (int)if_nametoindex(name);
	return bring_up(name, kind == IFF_TAP);
}

/* in: engine, then the catcher; out: from the far device to the near one, past the engine. */
static int pair_make(struct device *pair, const char *near, const char *far, short kind)
{
	bool l3 = kind == IFF_TUN;
	int err = device_make(&pair[0], near, kind);

	if (!err)
		err = device_make(&pair[1], far, kind);
	if (err)
		return err;
	lab.skel->bss->beside[pair[1].ifindex] = (uint32_t)pair[0].ifindex;
	err = attach(pair[0].ifindex, BPF_TC_INGRESS,
		     l3 ? lab.skel->progs.up_in_l3 : lab.skel->progs.up_in_eth, 1);
	if (!err)
		err = attach(pair[0].ifindex, BPF_TC_EGRESS,
			     l3 ? lab.skel->progs.up_out_l3 : lab.skel->progs.up_out_eth, 1);
	if (!err)
		err = attach(pair[0].ifindex, BPF_TC_INGRESS, lab.skel->progs.take_passed, 2);
	if (!err)
		err = attach(pair[1].ifindex, BPF_TC_INGRESS, lab.skel->progs.cross, 1);
	return err;
}

static int lo_make(void)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = 1 };
	int err = bring_up("lo", true);

	if (!err)
		err = attach(1, BPF_TC_EGRESS, lab.skel->progs.lo_out, 1);
	if (err)
		return err;
	lo_socket = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
	if (lo_socket < 0 || bind(lo_socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

int devices_make(void)
{
	int err;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	/* No neighbour discovery between our packets. lo keeps its ::1. */
	err = write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	if (!err)
		err = lo_make();
	if (!err)
		err = pair_make(taps, "tap-near", "tap-far", IFF_TAP);
	if (!err)
		err = pair_make(tuns, "tun-near", "tun-far", IFF_TUN);
	return err;
}

void devices_remove(void)
{
	for (size_t i = 0; i < 2; i++) {
		close(taps[i].fd);
		close(tuns[i].fd);
	}
	close(lo_socket);
}

static struct device *pair(void)
{
	return lab.mode->l3 ? tuns : taps;
}

static void put(const struct device *device, const struct frame *frame)
{
	static uint8_t buffer[sizeof(struct virtio_net_hdr) + sizeof(frame->bytes)];
	struct virtio_net_hdr hdr = { .hdr_len = (uint16_t)frame->data,
				      .csum_start = (uint16_t)frame->l4,
				      .csum_offset = 16 };
	uint8_t *bytes = buffer + sizeof(hdr);

	memcpy(bytes, frame->bytes, frame->len);
	if (lab.mode->sums == SUMS_PARTIAL) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		put16(bytes + frame->l4 + 16, pseudo_sum(frame));
		if (frame->len - frame->data > GSO_SIZE) {
			hdr.gso_type = lab.wire.version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
							     : VIRTIO_NET_HDR_GSO_TCPV6;
			hdr.gso_size = GSO_SIZE;
		}
	} else {
		hdr.flags = lab.mode->sums == SUMS_VOUCHED ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
		hdr.hdr_len = 0;
		hdr.csum_start = 0;
		hdr.csum_offset = 0;
	}
	memcpy(buffer, &hdr, sizeof(hdr));
	assert_int_equal(write(device->fd, buffer, sizeof(hdr) + frame->len),
			 sizeof(hdr) + frame->len);
}

/* Where TCP begins, in a packet that should be one. */
static void find_tcp(struct frame *frame)
{
	const uint8_t *ip = frame->bytes + frame->net;

	frame->l4 = frame->net + (ip[0] >> 4 == 4 ? (ip[0] & 15) * 4U : 40U);
	if (ip[0] >> 4 == 6 && ip[6] == IPPROTO_DSTOPTS)
		frame->l4 += 8 + ip[41] * 8U;
	frame->data = frame->l4 + (frame->bytes[frame->l4 + 12] >> 4) * 4U;
}

/* The next packet out of a device. Its checksum field is judged by what the kernel says of
 * it, and made whole, so that it compares with one that is. */
static bool take(const struct device *device, struct frame *ret)
{
	static uint8_t buffer[sizeof(struct virtio_net_hdr) + sizeof(ret->bytes)];
	struct virtio_net_hdr hdr;
	ssize_t n = read(device->fd, buffer, sizeof(buffer));

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	memcpy(&hdr, buffer, sizeof(hdr));
	ret->net = lab.mode->l3 ? 0 : ETH_HLEN;
	ret->len = (size_t)n - sizeof(hdr);
	memcpy(ret->bytes, buffer + sizeof(hdr), ret->len);
	find_tcp(ret);
	if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		assert_int_equal(hdr.csum_start, ret->l4);
		assert_int_equal(hdr.csum_offset, 16);
		assert_int_equal(ret->bytes[ret->l4 + 16] << 8 | ret->bytes[ret->l4 + 17],
				 pseudo_sum(ret));
		frame_seal(ret);
	}
	return true;
}

/* As the stack judges a packet's checksum (skb_csum_unnecessary()); then made whole, to compare
 * with one that is. A sum that begins before TCP is none: then the field must be right. */
static void judge(const struct caught *caught, struct frame *frame)
{
	const uint8_t *check = frame->bytes + frame->l4 + 16;

	if (caught->ip_summed == CAUGHT_PARTIAL && caught->csum_start == (int)frame->l4)
		assert_int_equal(check[0] << 8 | check[1], pseudo_sum(frame));
	else if (caught->ip_summed != CAUGHT_UNNECESSARY || lab.mode->sums != SUMS_PARTIAL)
		return;
	frame_seal(frame);
}

static const uint32_t only_key;

static void forget_caught(void)
{
	static const struct caught none;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab.skel->maps.caught), &only_key, &none,
					     BPF_ANY),
			 0);
}

bool devices_passed(struct frame *ret)
{
	static struct caught caught;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(lab.skel->maps.caught), &only_key,
					     &caught),
			 0);
	if (!caught.len)
		return false;
	ret->net = lab.mode->l3 ? 0 : ETH_HLEN;
	ret->len = caught.len;
	memcpy(ret->bytes, caught.bytes, ret->len);
	find_tcp(ret);
	judge(&caught, ret);
	return true;
}

bool devices_in(const struct frame *in, struct frame *ret)
{
	forget_caught();
	put(&pair()[0], in);
	return devices_passed(ret);
}

bool devices_out(const struct frame *in, struct frame *ret)
{
	forget_caught();
	put(&pair()[1], in);
	return take(&pair()[0], ret);
}

bool devices_reply(struct frame *ret)
{
	return take(&pair()[0], ret);
}

bool devices_lo(struct frame *ret)
{
	struct sockaddr_ll from;
	ssize_t n;

	for (;;) {
		socklen_t len = sizeof(from);

		n = recvfrom(lo_socket, ret->bytes, sizeof(ret->bytes), 0, (struct sockaddr *)&from,
			     &len);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			return false;
		}
		if (from.sll_pkttype == PACKET_OUTGOING)
			break;
	}
	ret->net = ETH_HLEN;
	ret->len = (size_t)n;
	find_tcp(ret);
	return true;
}
