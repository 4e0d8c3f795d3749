// SPDX-License-Identifier: BSD-2-Clause
/* unproxy explain --json: one object; addresses are named as in the client log. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "client/emit.h"
#include "client/reason.h"
#include "client/tlv.h"
#include "cmd/explain.h"

/* Out of memory, jansson's functions fail one by one, and json_object_set_new() takes
 * NULL for a failure, too: the parts below are built without a look, and what is missing
 * shows at the end, when the whole is dumped. */

static json_t *hex(const uint8_t *bytes, size_t len)
{
	_cleanup_free_ char *text = malloc(2 * len + 1);

	if (!text)
		return NULL;
	return json_stringn(text, (size_t)(emit_hex(text, bytes, len) - text));
}

static void set_address(json_t *object, const char *prefix, const struct up_addr *addr)
{
	char ip[ADDR_TEXT_MAX], key[32];

	(void)addr_format_ip(addr, ip, sizeof(ip));
	(void)snprintf(key, sizeof(key), "%s_ip", prefix);
	(void)json_object_set_new(object, key, json_string(ip));
	(void)snprintf(key, sizeof(key), "%s_port", prefix);
	(void)json_object_set_new(object, key, json_integer(addr->port));
}

static void set_ssl(json_t *object, const struct tlv_ssl *ssl)
{
	(void)json_object_set_new(object, "tls", json_boolean(ssl->client & TLV_SSL_CLIENT_SSL));
	(void)json_object_set_new(object, "cert_conn",
				  json_boolean(ssl->client & TLV_SSL_CLIENT_CERT_CONN));
	(void)json_object_set_new(object, "cert_sess",
				  json_boolean(ssl->client & TLV_SSL_CLIENT_CERT_SESS));
	(void)json_object_set_new(object, "verify", json_integer(ssl->verify));
}

static void set_text(json_t *object, const char *key, const struct tlv_view *view)
{
	if (tlv_present(view) && emit_is_text(view->value, view->len))
		(void)json_object_set_new(object, key,
					  json_stringn((const char *)view->value, view->len));
}

/* The ids of private links, named as in the client log. */
static void set_vendor(json_t *object, const struct tlv_set *set)
{
	char text[24];

	set_text(object, "aws_vpce_id", &set->aws_vpce_id);
	set_text(object, "alibaba_vpc_id", &set->alibaba_vpc_id);
	set_text(object, "alibaba_endpoint_id", &set->alibaba_endpoint_id);
	set_text(object, "alibaba_service_id", &set->alibaba_service_id);
	if (set->has_azure_link_id)
		(void)json_object_set_new(object, "azure_link_id",
					  json_integer(set->azure_link_id));
	if (set->has_gcp_psc_id) { /* a string: readers hold numbers as doubles */
		(void)snprintf(text, sizeof(text), "%" PRIu64, set->gcp_psc_id);
		(void)json_object_set_new(object, "gcp_psc_id", json_string(text));
	}
}

/* What every TLV has: where, which, and its bytes; as text where they are text. */
static json_t *tlv_object(const struct explain *explain, const struct up_tlv *tlv, const char *name)
{
	const struct tlv_view view = { tlv->value, tlv->len, tlv->type };
	json_t *object = json_object();

	(void)json_object_set_new(object, "at",
				  json_integer(tlv->value - UP_TLV_HEAD - explain->bytes));
	(void)json_object_set_new(object, "type", json_integer(tlv->type));
	if (name)
		(void)json_object_set_new(object, "name", json_string(name));
	(void)json_object_set_new(object, "len", json_integer(tlv->len));
	(void)json_object_set_new(object, "hex", hex(tlv->value, tlv->len));
	set_text(object, "text", &view);
	return object;
}

static json_t *ssl_tlvs(const struct explain *explain, const struct up_tlv *ssl)
{
	struct up_tlv_walk walk = { ssl->value + UP_TLV_SSL_HEAD, ssl->value + ssl->len };
	json_t *array = json_array();
	struct up_tlv tlv;

	while (up_tlv_next(&walk, &tlv))
		(void)json_array_append_new(array,
					    tlv_object(explain, &tlv, tlv_ssl_type_name(tlv.type)));
	return array;
}

static json_t *tlvs(const struct explain *explain)
{
	const uint8_t *from = explain->bytes + explain->header.tlv_at;
	struct up_tlv_walk walk = { from, from + explain->header.tlv_len };
	json_t *array = json_array();
	bool seen[256] = { false };
	struct up_tlv tlv;

	while (explain->header.tlv_len && up_tlv_next(&walk, &tlv)) {
		json_t *object = tlv_object(explain, &tlv, tlv_type_name(tlv.type));
		struct tlv_set set;

		(void)tlv_decode(tlv.value - UP_TLV_HEAD, UP_TLV_HEAD + (size_t)tlv.len, &set);
		set_vendor(object, &set);
		if (explain_is_duplicate(seen, &tlv))
			(void)json_object_set_new(object, "duplicate", json_true());
		if (set.ssl.present) {
			set_ssl(object, &set.ssl);
			(void)json_object_set_new(object, "tlvs", ssl_tlvs(explain, &tlv));
		}
		(void)json_array_append_new(array, object);
	}
	return array;
}

static void set_complete(json_t *object, const struct explain *explain)
{
	const struct up_header *header = &explain->header;
	bool is_proxy = header->command == UP_COMMAND_PROXY;

	(void)json_object_set_new(object, "version", json_integer(header->version));
	(void)json_object_set_new(object, "command", json_string(is_proxy ? "PROXY" : "LOCAL"));
	(void)json_object_set_new(object, "header_len", json_integer(header->len));
	if (header->version == 2)
		(void)json_object_set_new(object, "transport", json_integer(header->transport));
	if (header->has_addr) {
		set_address(object, "client", &header->src);
		set_address(object, "destination", &header->dst);
	}
	(void)json_object_set_new(object, "tlvs", tlvs(explain));
	(void)json_object_set_new(object, "payload_len",
				  json_integer(explain_payload_len(explain)));
	(void)json_object_set_new(object, "stacked", json_boolean(explain_is_stacked(explain)));
}

static void set_invalid(json_t *object, const struct explain *explain)
{
	enum up_reason reason = (enum up_reason)explain->header.reason;
	const char *hint = reason_hint_for(reason, explain->bytes, explain->len);

	(void)json_object_set_new(object, "reason", json_string(up_reason_name(reason)));
	(void)json_object_set_new(object, "error_at", json_integer(explain->header.error_at));
	(void)json_object_set_new(object, "hint", json_string(hint));
}

int explain_print_json(const struct explain *explain, FILE *out)
{
	static const char *const names[] = {
		[UP_HEADER_INCOMPLETE] = "incomplete",
		[UP_HEADER_COMPLETE] = "complete",
		[UP_HEADER_INVALID] = "invalid",
	};
	json_t *object = json_object();
	int r;

	(void)json_object_set_new(object, "status", json_string(names[explain->status]));
	(void)json_object_set_new(object, "bytes", json_integer(explain->len));
	if (explain->status == UP_HEADER_COMPLETE)
		set_complete(object, explain);
	else if (explain->status == UP_HEADER_INVALID)
		set_invalid(object, explain);
	else if (explain->header.need)
		(void)json_object_set_new(object, "need", json_integer(explain->header.need));
	r = json_dumpf(object, out, JSON_INDENT(2));
	json_decref(object);
	if (r < 0)
		return -ENOMEM;
	(void)fputc('\n', out);
	return 0;
}
