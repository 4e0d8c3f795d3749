/* SPDX-License-Identifier: BSD-2-Clause */
/* How a row of the key table checks a text and stores it. It does not know of files and lines. */
#include "conf/keys.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "conf/conf.h"
#include "conf/value.h"

#define WEIGHT_MAX 256
#define SERVERS_MAX 256

static int refuse(char *why, size_t size, const char *text, const char *expected)
{
	(void)snprintf(why, size, "\"%.64s\": expected %s", text, expected);
	return -EINVAL;
}

/* The words that work, as "a, b or c". */
static void list_words(const struct key_word *words, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (const struct key_word *word = words; word->name; word++) {
		const struct key_word *next = word + 1;
		const char *between = "";

		if (word->later)
			continue;
		while (next->name && next->later)
			next++;
		if (at > 0)
			between = next->name ? ", " : " or ";
		at += (size_t)snprintf(buf + at, size - at, "%s%s", between, word->name);
	}
}

static int set_word(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	const struct key_word *word = key->words;
	char expected[128];

	while (word->name && strcmp(word->name, text) != 0)
		word++;
	list_words(key->words, expected, sizeof(expected));
	if (!word->name)
		return refuse(why, size, text, expected);
	if (word->later) {
		(void)snprintf(why, size, "%s is not in this version: use %s", text, expected);
		return -EINVAL;
	}
	if (key->offset != KEY_NOWHERE)
		memcpy((char *)owner + key->offset, &word->value, sizeof(word->value));
	return 0;
}

static int set_bool(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	bool value;

	if (value_bool(text, &value) < 0)
		return refuse(why, size, text, "yes or no");
	memcpy((char *)owner + key->offset, &value, sizeof(value));
	return 0;
}

static void format_bound(enum key_type type, uint64_t value, char *buf, size_t size)
{
	if (type == KEY_MILLISECONDS || type == KEY_SECONDS)
		value_format_duration(value, buf, size);
	else if (type == KEY_SIZE64)
		value_format_size(value, buf, size);
	else
		(void)snprintf(buf, size, "%" PRIu64, value);
}

static int parse_number(const struct key *key, const char *text, uint64_t *ret)
{
	switch (key->type) {
	case KEY_MILLISECONDS:
	case KEY_SECONDS:
		return value_duration(text, ret);
	case KEY_SIZE:
	case KEY_SIZE64:
		return value_size(text, ret);
	default:
		return value_number(text, ret);
	}
}

static const char *expected_number(enum key_type type)
{
	switch (type) {
	case KEY_MILLISECONDS:
	case KEY_SECONDS:
		return "a duration with its unit, such as 5s, 250ms or 2m";
	case KEY_SIZE:
	case KEY_SIZE64:
		return "a size in bytes, such as 4096 or 64k";
	default:
		return "a number";
	}
}

static int set_number(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	char min[32], max[32];
	uint64_t value = 0;
	uint32_t narrow;

	if (!key->auto_word || strcmp(text, key->auto_word) != 0) {
		if (parse_number(key, text, &value) < 0)
			return refuse(why, size, text, expected_number(key->type));
		if (value < key->min || value > key->max) {
			format_bound(key->type, key->min, min, sizeof(min));
			format_bound(key->type, key->max, max, sizeof(max));
			(void)snprintf(why, size, "%.64s is out of range: %s to %s", text, min,
				       max);
			return -ERANGE;
		}
		if (key->type == KEY_SECONDS && value % 1000 != 0)
			return refuse(why, size, text, "whole seconds");
	}
	if (key->type == KEY_SECONDS)
		value /= 1000;
	narrow = (uint32_t)value;
	if (key->type == KEY_SIZE64)
		memcpy((char *)owner + key->offset, &value, sizeof(value));
	else
		memcpy((char *)owner + key->offset, &narrow, sizeof(narrow));
	return 0;
}

static int set_path(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	char **field = (char **)(void *)((char *)owner + key->offset);
	char *path = NULL;

	if (text[0] == '\0')
		return refuse(why, size, text, "a path, - or off");
	if (strcmp(text, "off") != 0) {
		path = strdup(text);
		if (!path)
			return -ENOMEM;
	}
	free(*field);
	*field = path;
	return 0;
}

/* Another name beside it is used while it is made: room for that, too. */
#define SOCKET_PATH_MAX 96

static int set_socket(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	if (strcmp(text, "off") != 0 && (text[0] != '/' || strlen(text) > SOCKET_PATH_MAX))
		return refuse(why, size, text,
			      "a path that begins with / and has at most 96 bytes, or off");
	return set_path(key, owner, text, why, size);
}

static int set_group(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	const struct group *group = getgrnam(text);

	if (!group)
		return refuse(why, size, text, "the name of a group of this host");
	memcpy((char *)owner + key->offset, &group->gr_gid, sizeof(group->gr_gid));
	return 0;
}

static int set_name(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	char **field = (char **)(void *)((char *)owner + key->offset);
	char *name;

	if (text[0] == '\0' || text[strcspn(text, " \t:/")] != '\0')
		return refuse(why, size, text, "a name or a number");
	name = strdup(text);
	if (!name)
		return -ENOMEM;
	free(*field);
	*field = name;
	return 0;
}

static int set_endpoint(const struct key *key, void *owner, const char *text, char *why,
			size_t size)
{
	struct up_addr addr = { 0 };

	if (strcmp(text, "off") != 0 && (addr_parse(text, &addr) < 0 || !addr.port))
		return refuse(why, size, text, "ADDR:PORT, such as 127.0.0.1:9180, or off");
	memcpy((char *)owner + key->offset, &addr, sizeof(addr));
	return 0;
}

static int set_trust(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	return trust_parse((struct trust *)(void *)((char *)owner + key->offset), text, why, size);
}

static int add_bind(struct conf_listener *listener, const char *text, char *why, size_t size)
{
	struct conf_bind bind = { 0 }, *binds;

	if (addr_parse_range(text, &bind.addr, &bind.last_port) < 0 || bind.addr.port == 0)
		return refuse(why, size, text,
			      "ADDR:PORT or ADDR:FIRST-LAST, such as 0.0.0.0:80, *:80 or [::1]:80");
	binds = reallocarray(listener->binds, listener->n_binds + 1, sizeof(*binds));
	if (!binds)
		return -ENOMEM;
	binds[listener->n_binds++] = bind;
	listener->binds = binds;
	return 0;
}

/* The word without the space round it; cuts in place. */
static char *trim(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

typedef int add_fn(struct conf_listener *listener, const char *word, char *why, size_t size);

/* Each word between commas. */
static int add_list(add_fn *add, struct conf_listener *listener, const char *text, char *why,
		    size_t size)
{
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy, *word;
	int r = 0;

	if (!copy)
		return -ENOMEM;
	while (r == 0 && (word = strsep(&rest, ",")))
		r = add(listener, trim(word), why, size);
	return r;
}

/* "80", "80 -> 3000". */
static int set_port(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	_cleanup_free_ char *copy = strdup(text);
	struct conf_port *port = (struct conf_port *)(void *)((char *)owner + key->offset);
	uint64_t wire, app;
	char *arrow;

	if (!copy)
		return -ENOMEM;
	arrow = strstr(copy, "->");
	if (arrow)
		*arrow = '\0';
	if (value_number(trim(copy), &wire) < 0 ||
	    value_number(arrow ? trim(arrow + 2) : trim(copy), &app) < 0 || wire < 1 ||
	    wire > UINT16_MAX || app < 1 || app > UINT16_MAX)
		return refuse(why, size, text, "a port, such as 80, or 80 -> 3000");
	*port = (struct conf_port){ .wire = (uint16_t)wire, .app = (uint16_t)app };
	return 0;
}

static bool is_wildcard(const struct up_addr *addr)
{
	static const uint8_t zero[16];
	size_t host = addr->family == UP_FAMILY_IPV4 ? 12 : 0;

	return memcmp(addr->ip + host, zero, 16 - host) == 0;
}

static int add_address(struct conf_listener *listener, const char *text, char *why, size_t size)
{
	struct up_addr addr, *addresses;

	if (addr_parse_ip(text, &addr) < 0 || is_wildcard(&addr))
		return refuse(why, size, text,
			      "an address, such as 192.0.2.1 or 2001:db8::1 (all of this host's: "
			      "leave the line out)");
	for (size_t i = 0; i < listener->n_addresses; i++) {
		if (!addr_equal(&listener->addresses[i], &addr))
			continue;
		(void)snprintf(why, size, "%.64s twice", text);
		return -EEXIST;
	}
	addresses = reallocarray(listener->addresses, listener->n_addresses + 1,
				 sizeof(*addresses));
	if (!addresses)
		return -ENOMEM;
	addresses[listener->n_addresses++] = addr;
	listener->addresses = addresses;
	return 0;
}

/* As the kernel sees it, dev_valid_name(): 1 to 15 bytes, no slash, colon or space. */
static int add_interface(struct conf_listener *listener, const char *text, char *why, size_t size)
{
	struct conf_interface *interfaces;
	size_t len = strlen(text);

	if (len == 0 || len >= CONF_INTERFACE_MAX || strpbrk(text, "/: \t") ||
	    strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return refuse(why, size, text, "names of interfaces, such as eth0, lo");
	for (size_t i = 0; i < listener->n_interfaces; i++) {
		if (strcmp(listener->interfaces[i].name, text) != 0)
			continue;
		(void)snprintf(why, size, "%.64s twice", text);
		return -EEXIST;
	}
	interfaces = reallocarray(listener->interfaces, listener->n_interfaces + 1,
				  sizeof(*interfaces));
	if (!interfaces)
		return -ENOMEM;
	(void)snprintf(interfaces[listener->n_interfaces++].name, CONF_INTERFACE_MAX, "%s", text);
	listener->interfaces = interfaces;
	return 0;
}

/* " weight=N" behind the address. Returns 0 or -EINVAL. */
static int parse_weight(const char *text, uint32_t *ret)
{
	static const char prefix[] = "weight=";
	uint64_t weight;

	if (strncmp(text, prefix, strlen(prefix)) != 0)
		return -EINVAL;
	if (value_number(text + strlen(prefix), &weight) < 0 || weight < 1 || weight > WEIGHT_MAX)
		return -EINVAL;
	*ret = (uint32_t)weight;
	return 0;
}

static int parse_server(const char *text, struct conf_server *ret, char *why, size_t size)
{
	struct conf_server server = { .weight = 0 };
	_cleanup_free_ char *copy = strdup(text);
	char *options = copy, *word;

	if (!copy)
		return -ENOMEM;
	options += strspn(options, " \t");
	word = strsep(&options, " \t");
	if (addr_parse(word, &server.addr) < 0 || server.addr.port == 0 ||
	    is_wildcard(&server.addr))
		return refuse(why, size, word,
			      "ADDR:PORT, such as 127.0.0.1:3000 or [::1]:3000 (no host names)");
	while ((word = strsep(&options, " \t"))) {
		if (word[0] != '\0' && (server.weight || parse_weight(word, &server.weight) < 0))
			return refuse(why, size, word, "weight=N, 1 to 256, once");
	}
	server.weight = server.weight ?: 1;
	*ret = server;
	return 0;
}

static int add_server(struct conf_backend *backend, const char *text, char *why, size_t size)
{
	struct conf_server server, *servers;
	int r;

	r = parse_server(text, &server, why, size);
	if (r < 0)
		return r;
	for (size_t i = 0; i < backend->n_servers; i++) {
		if (!addr_equal(&backend->servers[i].addr, &server.addr))
			continue;
		(void)snprintf(why, size, "the same server twice: give it a weight=");
		return -EEXIST;
	}
	if (backend->n_servers == SERVERS_MAX) {
		(void)snprintf(why, size, "more than %d servers in a backend", SERVERS_MAX);
		return -E2BIG;
	}
	servers = reallocarray(backend->servers, backend->n_servers + 1, sizeof(*servers));
	if (!servers)
		return -ENOMEM;
	servers[backend->n_servers++] = server;
	backend->servers = servers;
	return 0;
}

int key_set(const struct key *key, void *owner, const char *text, char *why, size_t size)
{
	(void)snprintf(why, size, "out of memory"); /* what -ENOMEM leaves */
	switch (key->type) {
	case KEY_WORD:
		return set_word(key, owner, text, why, size);
	case KEY_BOOL:
		return set_bool(key, owner, text, why, size);
	case KEY_NUMBER:
	case KEY_SIZE:
	case KEY_SIZE64:
	case KEY_MILLISECONDS:
	case KEY_SECONDS:
		return set_number(key, owner, text, why, size);
	case KEY_PATH:
		return set_path(key, owner, text, why, size);
	case KEY_SOCKET:
		return set_socket(key, owner, text, why, size);
	case KEY_GROUP:
		return set_group(key, owner, text, why, size);
	case KEY_NAME:
		return set_name(key, owner, text, why, size);
	case KEY_TRUST:
		return set_trust(key, owner, text, why, size);
	case KEY_BINDS:
		return add_list(add_bind, owner, text, why, size);
	case KEY_PORT:
		return set_port(key, owner, text, why, size);
	case KEY_ADDRESSES:
		return add_list(add_address, owner, text, why, size);
	case KEY_INTERFACES:
		return add_list(add_interface, owner, text, why, size);
	case KEY_SERVER:
		return add_server(owner, text, why, size);
	case KEY_ENDPOINT:
		return set_endpoint(key, owner, text, why, size);
	case KEY_BACKEND_REF:
		return 0;
	}
	return -EINVAL;
}
