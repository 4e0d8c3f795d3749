/* SPDX-License-Identifier: BSD-2-Clause */
/* What the environment says to proxy_preload.c, which alone includes this. Read once, at the start. */
#ifndef TESTS_TOOLS_PROXY_PRELOAD_CONFIG_H
#define TESTS_TOOLS_PROXY_PRELOAD_CONFIG_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TLV_MAX 2048
#define TARGETS_MAX 32

/* An address: always IPv6, an IPv4 one is mapped. */
struct endpoint {
	uint8_t ip[16];
	uint16_t port; /* host order; 0: not given */
};

static struct {
	int version;          /* 0: not active */
	bool eager;           /* the header leaves with the handshake, not with the first byte */
	bool has_source;      /* else the socket's own address */
	bool has_destination; /* else the address connected to */
	struct endpoint source, destination;
	unsigned source_bits; /* how many of its low bits count up; 0: a single address */
	struct endpoint targets[TARGETS_MAX];
	size_t n_targets; /* 0: every TCP connection */
	uint8_t tlvs[TLV_MAX];
	size_t tlv_len;
} config;

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* A wrong word must not end in a measurement without the header. */
static _Noreturn void die(const char *name, const char *text)
{
	(void)fprintf(stderr, "proxy_preload: %s=%s: not understood (docs/proxy-preload.md)\n",
		      name, text);
	_exit(2);
}

static bool is_ipv4(const struct endpoint *endpoint)
{
	return memcmp(endpoint->ip, mapped, sizeof(mapped)) == 0;
}

static bool parse_ip(const char *text, uint8_t *ret)
{
	if (inet_pton(AF_INET6, text, ret) == 1)
		return true;
	if (inet_pton(AF_INET, text, ret + 12) != 1)
		return false;
	memcpy(ret, mapped, sizeof(mapped));
	return true;
}

static bool parse_digits(const char *text, unsigned max, unsigned *ret)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > max)
		return false;
	*ret = (unsigned)value;
	return true;
}

/* IP, IP:PORT, [IP]:PORT, IP/LEN, :PORT and *:PORT. *ret_len is -1 without a /LEN. */
static bool parse_endpoint(const char *text, struct endpoint *ret, int *ret_len)
{
	char copy[80], *host = copy, *port = NULL, *slash;
	unsigned value;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	*ret = (struct endpoint){ 0 };
	*ret_len = -1;
	slash = strchr(copy, '/');
	if (slash) {
		*slash = '\0';
		if (!parse_digits(slash + 1, 128, &value))
			return false;
		*ret_len = (int)value;
	} else if (copy[0] == '[') {
		port = strstr(copy, "]:");
		if (!port)
			return false;
		*port++ = '\0';
		host++;
	} else if (strchr(copy, ':') == strrchr(copy, ':')) {
		port = strchr(copy, ':');
	}
	if (port) {
		*port++ = '\0';
		if (!parse_digits(port, 65535, &value))
			return false;
		ret->port = (uint16_t)value;
	}
	if (port && (host[0] == '\0' || strcmp(host, "*") == 0))
		return true;
	return parse_ip(host, ret->ip);
}

static void read_source(const char *text)
{
	unsigned bits;
	int len;

	if (!parse_endpoint(text, &config.source, &len))
		die("PROXY_PRELOAD_SRC", text);
	bits = is_ipv4(&config.source) ? 32 : 128;
	if (len > (int)bits)
		die("PROXY_PRELOAD_SRC", text);
	config.source_bits = len < 0 ? 0 : bits - (unsigned)len;
	config.has_source = true;
}

static void read_destination(const char *text)
{
	int len;

	if (!parse_endpoint(text, &config.destination, &len) || len >= 0)
		die("PROXY_PRELOAD_DST", text);
	config.has_destination = true;
}

static void read_targets(const char *text)
{
	char copy[1024], *rest = copy, *word;
	int len;

	if (strlen(text) >= sizeof(copy))
		die("PROXY_PRELOAD_TO", text);
	strcpy(copy, text);
	while ((word = strsep(&rest, ","))) {
		if (config.n_targets == TARGETS_MAX ||
		    !parse_endpoint(word, &config.targets[config.n_targets++], &len) || len >= 0)
			die("PROXY_PRELOAD_TO", text);
	}
}

static void read_tlvs(const char *text)
{
	size_t n = strlen(text);

	if (n % 2 || n / 2 > TLV_MAX || strspn(text, "0123456789abcdefABCDEF") != n)
		die("PROXY_PRELOAD_TLV", text);
	for (size_t i = 0; i < n / 2; i++) {
		const char pair[] = { text[2 * i], text[2 * i + 1], '\0' };

		config.tlvs[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	config.tlv_len = n / 2;
}

static void read_version(const char *text)
{
	if (strcmp(text, "v1") == 0)
		config.version = 1;
	else if (strcmp(text, "v2") == 0)
		config.version = 2;
	else
		die("PROXY_PRELOAD", text);
}

static void read_eager(const char *text)
{
	if (strcmp(text, "connect") == 0)
		config.eager = true;
	else if (strcmp(text, "write") != 0)
		die("PROXY_PRELOAD_WHEN", text);
}

static __attribute__((constructor)) void read_environment(void)
{
	static const struct {
		const char *name;
		void (*read)(const char *text);
	} variables[] = {
		{ "PROXY_PRELOAD_SRC", read_source }, { "PROXY_PRELOAD_DST", read_destination },
		{ "PROXY_PRELOAD_TO", read_targets }, { "PROXY_PRELOAD_TLV", read_tlvs },
		{ "PROXY_PRELOAD_WHEN", read_eager }, { "PROXY_PRELOAD", read_version },
	};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *text = getenv(variables[i].name);

		if (text && text[0])
			variables[i].read(text);
	}
}

#endif
