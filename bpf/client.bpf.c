// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The address hook: accept(), getpeername() and SO_PEERNAME of an unmodified server return
 * the client that the PROXY header named. Attached to a cgroup; sees every TCP connection in
 * it and leaves all alone that are not ours. Each engine loads what it needs of this.
 *
 * The way of an address, engine relay: the daemon says in `intents` whom a socket is for, by
 * the socket's own cookie, so whoever connects it, and whenever, it cannot be another's;
 * inside connect(), with the local port chosen and the SYN not yet sent, it goes to
 * `handshakes`; when the server's side is established it goes to that very socket. Engine
 * inline: the server's side takes it out of the flow.
 *
 * "Established" happens under the socket's lock, before accept() can return the socket
 * (tcp_child_process()), so no server sees a connection first and its client later; and what
 * a server's socket has been told it keeps, even if the other end is reset before the server
 * calls accept().
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "client_maps.bpf.h"
#include "flow_maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Macros are not in vmlinux.h. */
#define AF_INET 2
#define AF_INET6 10

#define STAT_INC(field)                                                              \
	do {                                                                         \
		__u32 _zero = 0;                                                     \
		struct up_hook_stats *_s = bpf_map_lookup_elem(&hook_stats, &_zero); \
		if (_s)                                                              \
			_s->field++;                                                 \
	} while (0)

/* Return value of every program here: go on. */
#define GO_ON 1

static __always_inline void put_ipv4(__u8 *ip, __u32 address)
{
	__builtin_memset(ip, 0, 10);
	ip[10] = ip[11] = 0xff;
	__builtin_memcpy(ip + 12, &address, sizeof(address));
}

static __always_inline void put_local(const struct bpf_sock_ops *ops, __u8 *ip)
{
	__u32 words[4];

	if (ops->family == AF_INET) {
		put_ipv4(ip, ops->local_ip4);
		return;
	}
	words[0] = ops->local_ip6[0];
	words[1] = ops->local_ip6[1];
	words[2] = ops->local_ip6[2];
	words[3] = ops->local_ip6[3];
	__builtin_memcpy(ip, words, sizeof(words));
}

static __always_inline void put_remote(const struct bpf_sock_ops *ops, __u8 *ip)
{
	__u32 words[4];

	if (ops->family == AF_INET) {
		put_ipv4(ip, ops->remote_ip4);
		return;
	}
	words[0] = ops->remote_ip6[0];
	words[1] = ops->remote_ip6[1];
	words[2] = ops->remote_ip6[2];
	words[3] = ops->remote_ip6[3];
	__builtin_memcpy(ip, words, sizeof(words));
}

/* local_port is in host order, remote_port in network order and 32 bits wide. */
static __always_inline void name_from_daemon(const struct bpf_sock_ops *ops, struct up_tuple *ret)
{
	put_local(ops, ret->from_ip);
	put_remote(ops, ret->to_ip);
	ret->from_port = ops->local_port;
	ret->to_port = bpf_ntohl(ops->remote_port);
}

static __always_inline void name_from_server(const struct bpf_sock_ops *ops, struct up_tuple *ret)
{
	put_local(ops, ret->to_ip);
	put_remote(ops, ret->from_ip);
	ret->to_port = ops->local_port;
	ret->from_port = bpf_ntohl(ops->remote_port);
}

/* Whom this socket is for; false: nobody has said so. */
static __always_inline bool take_intent(__u64 cookie, struct up_addr *ret)
{
	for (__u32 i = 0; i < UP_INTENT_PROBES; i++) {
		__u32 at = (cookie + i) % UP_INTENTS;
		struct up_intent *intent = bpf_map_lookup_elem(&intents, &at);

		if (!intent || intent->cookie != cookie)
			continue;
		*ret = intent->client;
		intent->cookie = 0;
		return true;
	}
	return false;
}

/* In connect(): see tcp_connect(). */
static __always_inline void on_connect(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk; /* read once: the verifier wants it checked */
	struct up_tuple tuple = {};
	struct up_addr client;
	struct tcp_sock *tp;

	if (!sk || !take_intent(bpf_get_socket_cookie(ops), &client))
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	STAT_INC(announced);
	name_from_daemon(ops, &tuple);
	tuple.isn = tp->write_seq; /* snd_nxt is set later: tcp_connect_init() */
	if (bpf_map_update_elem(&handshakes, &tuple, &client, BPF_ANY)) {
		STAT_INC(full);
		return;
	}
	/* Tell us of its end: another program's flags stay. */
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* The daemon's end is closed: nobody can be established at the other one any more. Not
 * before, however long it takes: while the server's accept queue is full, it drops the last
 * step of the handshake, and connection, data and FIN wait for a repetition. */
static __always_inline void on_state(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct up_tuple tuple = {};
	struct tcp_sock *tp;

	if (ops->args[1] != BPF_TCP_CLOSE || !sk)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	name_from_daemon(ops, &tuple);
	/* All that was acknowledged, the SYN counting as a byte. Without a SYN (no route: see
	 * tcp_connect()) there is no snd_una yet. */
	tuple.isn = tp->snd_una ? tp->snd_una - (__u32)tp->bytes_acked : tp->write_seq;
	if (bpf_map_delete_elem(&handshakes, &tuple) == 0)
		STAT_INC(collected);
}

/* The server's socket is established: tell it. */
static __always_inline void tell(struct bpf_sock_ops *ops, struct bpf_sock *sk,
				 struct up_addr *client)
{
	if (ops->family == AF_INET && client->family != UP_FAMILY_IPV4)
		STAT_INC(ipv6_on_ipv4);
	else if (bpf_sk_storage_get(&clients, sk, client, BPF_SK_STORAGE_GET_F_CREATE))
		STAT_INC(shown);
	else
		STAT_INC(no_memory);
}

static __always_inline void on_established(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct up_tuple tuple = {};
	struct up_addr *found, client;

	name_from_server(ops, &tuple);
	tuple.isn = ops->rcv_nxt - 1;
	found = bpf_map_lookup_elem(&handshakes, &tuple);
	if (!found || !sk)
		return;
	client = *found;
	bpf_map_delete_elem(&handshakes, &tuple);
	tell(ops, sk, &client);
}

/* The reply is left as it is: it may be another program's. */
SEC("sockops")
int up_sockops(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		on_connect(ops);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		on_established(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		on_state(ops);
		break;
	}
	return GO_ON;
}

/* The flow of a server's socket, by the port that its client knows. The first sequence number
 * tells it from a connection with the same addresses in another network namespace: the app's
 * numbers begin where the header's did. */
static __always_inline struct up_flow *flow_of(const struct up_flow_key *key, __u32 first)
{
	struct up_flow *flow = bpf_map_lookup_elem(&flows, key);

	return flow && flow->seq_start == first ? flow : NULL;
}

SEC("sockops")
int up_sockops_flow(struct bpf_sock_ops *ops)
{
	struct up_flow_key key = {};
	struct up_addr client;
	struct up_flow *flow;
	struct bpf_sock *sk;
	__u32 *wire_port;

	if (ops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return GO_ON;
	put_remote(ops, key.remote_ip);
	put_local(ops, key.local_ip);
	key.remote_port = bpf_ntohl(ops->remote_port);
	key.local_port = ops->local_port;
	flow = flow_of(&key, ops->rcv_nxt);
	if (!flow) {
		wire_port = bpf_map_lookup_elem(&aliases, &key);
		if (!wire_port)
			return GO_ON;
		key.local_port = *wire_port;
		flow = flow_of(&key, ops->rcv_nxt);
	}
	sk = ops->sk;
	if (!flow || !sk || flow->state != UP_FLOW_OPEN)
		return GO_ON;
	client = flow->client;
	if (client.family != UP_FAMILY_NONE)
		tell(ops, sk, &client);
	return GO_ON;
}

static __always_inline const struct up_addr *client_of(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? bpf_sk_storage_get(&clients, sk, NULL, 0) : NULL;
}

SEC("cgroup/getpeername4")
int up_peername4(struct bpf_sock_addr *ctx)
{
	const struct up_addr *client = client_of(ctx);
	__u32 ip;

	/* IPV6_ADDRFORM makes an AF_INET socket of an AF_INET6 one. */
	if (!client || client->family != UP_FAMILY_IPV4)
		return GO_ON;
	__builtin_memcpy(&ip, client->ip + 12, sizeof(ip));
	ctx->user_ip4 = ip;
	ctx->user_port = bpf_htons(client->port);
	return GO_ON;
}

SEC("cgroup/getpeername6")
int up_peername6(struct bpf_sock_addr *ctx)
{
	const struct up_addr *client = client_of(ctx);
	__u32 words[4];

	if (!client)
		return GO_ON;
	__builtin_memcpy(words, client->ip, sizeof(words));
	ctx->user_ip6[0] = words[0];
	ctx->user_ip6[1] = words[1];
	ctx->user_ip6[2] = words[2];
	ctx->user_ip6[3] = words[3];
	ctx->user_port = bpf_htons(client->port);
	return GO_ON;
}
