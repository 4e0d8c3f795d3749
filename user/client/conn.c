// SPDX-License-Identifier: BSD-2-Clause
#include "client/conn.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "client/tlv.h"
#include "conf/value.h"

static char engine_letter(const struct conn *conn)
{
	return conn->record.engine == CONF_ENGINE_INLINE ? 'i' : 'r';
}

void conn_id(const struct conn *conn, char buf[CONN_ID_MAX])
{
	(void)snprintf(buf, CONN_ID_MAX, "%c%" PRIx64, engine_letter(conn), conn->number);
}

void conn_own_names(struct conn *conn)
{
	struct record *record = &conn->record;

	if (record->listener)
		(void)snprintf(conn->listener, sizeof(conn->listener), "%s", record->listener);
	if (record->backend_name)
		(void)snprintf(conn->backend, sizeof(conn->backend), "%s", record->backend_name);
	record->listener = record->listener ? conn->listener : NULL;
	record->backend_name = record->backend_name ? conn->backend : NULL;
}

/* ---- filters ---- */

static int set_id(struct conn_filter *filter, const char *value, char *why, size_t size)
{
	char *end = NULL;

	if ((value[0] == 'r' || value[0] == 'i') && isxdigit((unsigned char)value[1]) &&
	    strlen(value) <= 17) {
		filter->number = strtoull(value + 1, &end, 16);
		filter->engine = value[0] == 'i' ? CONF_ENGINE_INLINE : CONF_ENGINE_RELAY;
		filter->has_engine = true;
	}
	if (end && !*end && filter->number)
		return 0;
	(void)snprintf(why, size, "\"%.32s\" is no id of a connection, such as r1a2b", value);
	return -EINVAL;
}

static int set_engine(struct conn_filter *filter, const char *value, char *why, size_t size)
{
	bool is_inline = strcmp(value, "inline") == 0;

	if (!is_inline && strcmp(value, "relay") != 0) {
		(void)snprintf(why, size, "engine is relay or inline");
		return -EINVAL;
	}
	filter->engine = is_inline ? CONF_ENGINE_INLINE : CONF_ENGINE_RELAY;
	filter->has_engine = true;
	return 0;
}

static int set_cidr(struct cidr *cidr, bool *has, const char *value, char *why, size_t size)
{
	const char *wrong = cidr_parse(value, cidr);

	*has = !wrong;
	if (wrong)
		(void)snprintf(why, size, "\"%.64s\" %s", value, wrong);
	return wrong ? -EINVAL : 0;
}

static int set_name(char *field, size_t room, const char *value, char *why, size_t size)
{
	if (value[0] && strlen(value) < room) {
		memcpy(field, value, strlen(value) + 1);
		return 0;
	}
	(void)snprintf(why, size, "\"%.32s\" is no name", value);
	return -EINVAL;
}

static int set_older(struct conn_filter *filter, const char *value, char *why, size_t size)
{
	uint64_t ms = 0;

	if (value_duration(value, &ms) < 0) {
		(void)snprintf(why, size, "older is a duration with its unit, such as 90s or 1h");
		return -EINVAL;
	}
	filter->older_us = ms * 1000;
	return 0;
}

int conn_filter_set(struct conn_filter *filter, const char *name, const char *value, char *why,
		    size_t why_size)
{
	const struct {
		const char *name;
		char *field;
		size_t room;
	} names[] = {
		{ "listener", filter->listener, sizeof(filter->listener) },
		{ "backend", filter->backend, sizeof(filter->backend) },
		{ "vpce", filter->vpce, sizeof(filter->vpce) },
	};
	const struct {
		const char *name;
		struct cidr *cidr;
		bool *has;
	} cidrs[] = {
		{ "client", &filter->client, &filter->has_client },
		{ "balancer", &filter->balancer, &filter->has_balancer },
		{ "server", &filter->server, &filter->has_server },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i].name) == 0)
			return set_name(names[i].field, names[i].room, value, why, why_size);
	}
	for (size_t i = 0; i < ARRAY_SIZE(cidrs); i++) {
		if (strcmp(name, cidrs[i].name) == 0)
			return set_cidr(cidrs[i].cidr, cidrs[i].has, value, why, why_size);
	}
	if (strcmp(name, "conn") == 0)
		return set_id(filter, value, why, why_size);
	if (strcmp(name, "engine") == 0)
		return set_engine(filter, value, why, why_size);
	if (strcmp(name, "older") == 0)
		return set_older(filter, value, why, why_size);
	(void)snprintf(why, why_size, "no filter \"%.32s\"; there are: " CONN_FILTER_NAMES, name);
	return -ENOENT;
}

static bool name_is(const char *wanted, const char *name)
{
	return !wanted[0] || (name && strcmp(wanted, name) == 0);
}

static bool of_network(bool asked, const struct cidr *cidr, const struct up_addr *addr)
{
	return !asked || (addr->family && cidr_holds(cidr, addr->ip));
}

/* Decoded only for who has passed all else. */
static bool has_vpce(const struct conn *conn, const char *wanted)
{
	struct tlv_set set;

	if (!wanted[0])
		return true;
	if (!conn->record.tlv_len || !conn->tlvs)
		return false;
	(void)tlv_decode(conn->tlvs, conn->record.tlv_len, &set);
	return tlv_present(&set.aws_vpce_id) && set.aws_vpce_id.len == strlen(wanted) &&
	       memcmp(set.aws_vpce_id.value, wanted, set.aws_vpce_id.len) == 0;
}

/* Who is a client to the deny list. */
static bool has_client(const struct conn *conn)
{
	const struct record *record = &conn->record;

	if (!record->client.family || strcmp(conn->state, "header") == 0)
		return false;
	return !record->version || !addr_equal(&record->client, &record->balancer);
}

static bool is_picked(const struct conn *conn, const struct conn_filter *filter)
{
	return !filter->picks ||
	       (has_client(conn) && filter->picks(filter->context, conn->record.client.ip));
}

bool conn_matches(const struct conn *conn, const struct conn_filter *filter)
{
	const struct record *record = &conn->record;

	return (!filter->has_engine || filter->engine == record->engine) &&
	       (!filter->number || filter->number == conn->number) &&
	       record->duration_us >= filter->older_us &&
	       of_network(filter->has_client, &filter->client, &record->client) &&
	       of_network(filter->has_balancer, &filter->balancer, &record->balancer) &&
	       of_network(filter->has_server, &filter->server, &record->backend) &&
	       name_is(filter->listener, record->listener) &&
	       name_is(filter->backend, record->backend_name) && has_vpce(conn, filter->vpce) &&
	       is_picked(conn, filter);
}

/* ---- text ---- */

#define HEAD_MAX 80 /* id and state */

size_t conn_format_bound(const struct conn *conn)
{
	return HEAD_MAX + record_format_bound(&conn->record);
}

size_t conn_format(struct record_formatter *formatter, const struct conn *conn, char *buf)
{
	char id[CONN_ID_MAX], *at = buf;
	size_t len;

	conn_id(conn, id);
	at += snprintf(buf, HEAD_MAX, "{\"conn\":\"%s\",\"state\":\"%s\"", id, conn->state);
	/* The object that follows becomes the rest of this one: its brace, a comma; its newline, the
	 * end. */
	len = record_format(formatter, &conn->record, conn->tlvs, at);
	*at = ',';
	at[len - 1] = '\0';
	return (size_t)(at - buf) + len - 1;
}
