// SPDX-License-Identifier: BSD-2-Clause
#include "inline/flow_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cidr.h"
#include "base/netlink.h"

#define MAPPED_BYTES (CIDR_MAPPED_BITS / 8)

struct request {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
};

static struct request request_for(uint16_t type, uint16_t flags, const struct flow_socket *socket)
{
	return (struct request){
		.head = { .nlmsg_len = sizeof(struct request),
			  .nlmsg_type = type,
			  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.body = { .sdiag_family = socket->family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = ~0U,
			  .id = socket->id },
	};
}

/* An IPv4 connection is asked for as such, whatever the family of the app's socket. */
static struct flow_socket name_of(const struct up_flow_key *key, uint16_t app_port)
{
	bool mapped = cidr_is_mapped(key->local_ip);
	struct flow_socket socket = { .family = mapped ? AF_INET : AF_INET6 };
	size_t skip = mapped ? MAPPED_BYTES : 0;

	socket.id.idiag_sport = htons(app_port);
	socket.id.idiag_dport = htons(key->remote_port);
	memcpy(socket.id.idiag_src, key->local_ip + skip, sizeof(key->local_ip) - skip);
	memcpy(socket.id.idiag_dst, key->remote_ip + skip, sizeof(key->remote_ip) - skip);
	socket.id.idiag_cookie[0] = socket.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return socket;
}

int flow_socket_find(const struct up_flow_key *key, uint16_t app_port, struct flow_socket *ret)
{
	struct nlmsghdr answer[8192 / sizeof(struct nlmsghdr)] = { 0 };
	struct flow_socket socket = name_of(key, app_port);
	struct request request = request_for(SOCK_DIAG_BY_FAMILY, 0, &socket);
	const struct inet_diag_msg *found = NLMSG_DATA(answer);
	ssize_t n = netlink_ask(NETLINK_SOCK_DIAG, &request, sizeof(request), answer,
				sizeof(answer));

	if (n == -ENOENT)
		return -EXDEV;
	if (n < 0)
		return (int)n;
	if ((size_t)n < NLMSG_LENGTH(sizeof(*found)))
		return -EPROTO;
	/* Where there is no connection the kernel finds who listens. That one is left alone. */
	if (found->idiag_state == TCP_LISTEN || found->id.idiag_dport != socket.id.idiag_dport)
		return -EXDEV;
	memcpy(socket.id.idiag_cookie, found->id.idiag_cookie, sizeof(socket.id.idiag_cookie));
	*ret = socket;
	return 0;
}

int flow_socket_destroy(const struct flow_socket *socket)
{
	struct nlmsghdr answer[1024 / sizeof(struct nlmsghdr)] = { 0 };
	struct request request = request_for(SOCK_DESTROY, NLM_F_ACK, socket);
	ssize_t n = netlink_ask(NETLINK_SOCK_DIAG, &request, sizeof(request), answer,
				sizeof(answer));

	return n < 0 ? (int)n : 0;
}
