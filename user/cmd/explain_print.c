// SPDX-License-Identifier: BSD-2-Clause
/* unproxy explain: the form for people. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/addr.h"
#include "client/reason.h"
#include "client/tlv.h"
#include "cmd/explain.h"

/* So much of a value or payload is shown. */
#define SHOWN_BYTES 64
/* What is shown around the byte that was refused. */
#define BEFORE_ERROR 48
#define AFTER_ERROR 20
#define DUMP_ROW 16

bool explain_is_stacked(const struct explain *explain)
{
	const uint8_t *payload = explain->bytes + explain->header.len;

	return explain_payload_len(explain) > 0 &&
	       up_header_begins(payload, explain_payload_len(explain));
}

bool explain_is_duplicate(bool seen[256], const struct up_tlv *tlv)
{
	bool before = seen[tlv->type];

	seen[tlv->type] = true;
	return before && tlv->type != UP_TLV_NOOP && tlv->type != UP_TLV_ALIBABA;
}

const char *explain_transport(uint8_t transport)
{
	static const char *const names[4][3] = {
		[UP_V2_UNSPEC] = { "unspecified", "a stream, family unspecified",
				   "datagrams, family unspecified" },
		[UP_V2_INET] = { "IPv4, protocol unspecified", "TCP over IPv4", "UDP over IPv4" },
		[UP_V2_INET6] = { "IPv6, protocol unspecified", "TCP over IPv6", "UDP over IPv6" },
		[UP_V2_UNIX] = { "UNIX, protocol unspecified", "UNIX stream", "UNIX datagram" },
	};

	if (transport >> 4 > UP_V2_UNIX || (transport & 15) > UP_V2_DGRAM)
		return "not defined";
	return names[transport >> 4][transport & 15];
}

/* One byte as text; returns the columns it took. */
static int print_byte(FILE *out, uint8_t byte)
{
	switch (byte) {
	case '\r':
		return fprintf(out, "\\r");
	case '\n':
		return fprintf(out, "\\n");
	case '\\':
		return fprintf(out, "\\\\");
	default:
		return fprintf(out, byte >= 0x20 && byte < 0x7F ? "%c" : "\\x%02x", byte);
	}
}

static void print_text(FILE *out, const uint8_t *bytes, size_t len)
{
	size_t shown = len < SHOWN_BYTES ? len : SHOWN_BYTES;

	(void)fputc('"', out);
	for (size_t i = 0; i < shown; i++) {
		if (bytes[i] == '"')
			(void)fputc('\\', out);
		(void)print_byte(out, bytes[i]);
	}
	(void)fputs(shown < len ? "\"..." : "\"", out);
}

static void print_hex(FILE *out, const uint8_t *bytes, size_t len)
{
	size_t shown = len < SHOWN_BYTES / 2 ? len : SHOWN_BYTES / 2;

	for (size_t i = 0; i < shown; i++)
		(void)fprintf(out, "%02x", bytes[i]);
	if (shown < len)
		(void)fputs("...", out);
}

static bool is_printable(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] < 0x20 || bytes[i] > 0x7E)
			return false;
	return true;
}

/* ---- TLVs ---- */

static void print_ssl_head(FILE *out, const struct tlv_ssl *ssl)
{
	bool cert = ssl->client & (TLV_SSL_CLIENT_CERT_CONN | TLV_SSL_CLIENT_CERT_SESS);

	(void)fprintf(out, "client %s TLS, ",
		      ssl->client & TLV_SSL_CLIENT_SSL ? "over" : "without");
	(void)fputs(cert ? "certificate" : "no certificate", out);
	if (ssl->verify)
		(void)fprintf(out, ", verification failed (%" PRIu32 ")", ssl->verify);
	else if (cert)
		(void)fputs(" verified", out);
}

static void print_id(FILE *out, const char *what, const struct tlv_view *view)
{
	(void)fprintf(out, "%s ", what);
	print_text(out, view->value, view->len);
}

/* What private links carry, or the bytes if they are not as documented. */
static void print_vendor(FILE *out, const struct tlv_set *set, const struct up_tlv *tlv)
{
	if (tlv_present(&set->aws_vpce_id))
		print_id(out, "VPC endpoint", &set->aws_vpce_id);
	else if (tlv_present(&set->alibaba_vpc_id))
		print_id(out, "VPC", &set->alibaba_vpc_id);
	else if (tlv_present(&set->alibaba_endpoint_id))
		print_id(out, "endpoint", &set->alibaba_endpoint_id);
	else if (tlv_present(&set->alibaba_service_id))
		print_id(out, "endpoint service", &set->alibaba_service_id);
	else if (set->has_azure_link_id)
		(void)fprintf(out, "private link %" PRIu32, set->azure_link_id);
	else if (set->has_gcp_psc_id)
		(void)fprintf(out, "Private Service Connect %" PRIu64, set->gcp_psc_id);
	else
		print_hex(out, tlv->value, tlv->len);
}

static void print_value(FILE *out, const struct up_tlv *tlv)
{
	struct tlv_set set;

	(void)tlv_decode(tlv->value - UP_TLV_HEAD, UP_TLV_HEAD + (size_t)tlv->len, &set);
	switch (tlv->type) {
	case UP_TLV_ALPN:
	case UP_TLV_AUTHORITY:
	case UP_TLV_NETNS:
		print_text(out, tlv->value, tlv->len);
		break;
	case UP_TLV_UNIQUE_ID:
		if (is_printable(tlv->value, tlv->len))
			print_text(out, tlv->value, tlv->len);
		else
			print_hex(out, tlv->value, tlv->len);
		break;
	case UP_TLV_NOOP:
		(void)fputs("padding", out);
		break;
	case UP_TLV_SSL:
		print_ssl_head(out, &set.ssl);
		break;
	default:
		print_vendor(out, &set, tlv);
		break;
	}
}

static void print_tlv_head(const struct explain *explain, FILE *out, const struct up_tlv *tlv,
			   const char *indent, const char *name)
{
	(void)fprintf(out, "    %5td  %s0x%02x %-*s %6u  ",
		      tlv->value - UP_TLV_HEAD - explain->bytes, indent, tlv->type,
		      (int)(12 - strlen(indent)), name ? name : "?", tlv->len);
}

static void print_ssl_tlvs(const struct explain *explain, FILE *out, const struct up_tlv *ssl)
{
	struct up_tlv_walk walk = { ssl->value + UP_TLV_SSL_HEAD, ssl->value + ssl->len };
	struct up_tlv tlv;

	while (up_tlv_next(&walk, &tlv)) {
		print_tlv_head(explain, out, &tlv, "  ", tlv_ssl_type_name(tlv.type));
		if (tlv_ssl_type_name(tlv.type) && strcmp(tlv_ssl_type_name(tlv.type), "cert") != 0)
			print_text(out, tlv.value, tlv.len);
		else
			print_hex(out, tlv.value, tlv.len);
		(void)fputc('\n', out);
	}
}

static void print_tlvs(const struct explain *explain, FILE *out)
{
	const uint8_t *from = explain->bytes + explain->header.tlv_at;
	struct up_tlv_walk walk = { from, from + explain->header.tlv_len };
	bool seen[256] = { false };
	struct up_tlv tlv;

	if (!explain->header.tlv_len)
		return;
	(void)fprintf(out, "  TLVs\n     byte  type              bytes  value\n");
	while (up_tlv_next(&walk, &tlv)) {
		print_tlv_head(explain, out, &tlv, "", tlv_type_name(tlv.type));
		print_value(out, &tlv);
		if (explain_is_duplicate(seen, &tlv))
			(void)fputs(" (duplicate: the first counts)", out);
		else if (tlv.type == UP_TLV_CRC32C)
			(void)fputs(", correct", out);
		(void)fputc('\n', out);
		if (tlv.type == UP_TLV_SSL)
			print_ssl_tlvs(explain, out, &tlv);
	}
}

/* ---- the three verdicts ---- */

static void print_payload(const struct explain *explain, FILE *out)
{
	uint32_t len = explain_payload_len(explain);

	if (!len)
		return;
	(void)fprintf(out, "  payload      %" PRIu32 " %s behind the header: ", len,
		      len == 1 ? "byte" : "bytes");
	print_text(out, explain->bytes + explain->header.len, len);
	(void)fputc('\n', out);
	if (explain_is_stacked(explain))
		(void)fputs("               a second PROXY header: two balancers add one each, "
			    "only the "
			    "first is taken off\n",
			    out);
}

static void print_complete(const struct explain *explain, FILE *out)
{
	const struct up_header *header = &explain->header;
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	(void)fprintf(out, "complete: PROXY protocol version %u, %" PRIu32 " bytes\n",
		      header->version, header->len);
	(void)fprintf(out, "  command      %s\n",
		      header->command == UP_COMMAND_PROXY
			      ? "PROXY"
			      : "LOCAL: the balancer's own connection, as for a health check");
	if (header->version == 2)
		(void)fprintf(out, "  transport    %s\n", explain_transport(header->transport));
	if (header->has_addr) {
		(void)addr_format(&header->src, src, sizeof(src));
		(void)addr_format(&header->dst, dst, sizeof(dst));
		(void)fprintf(out, "  client       %s\n  destination  %s\n", src, dst);
	} else {
		(void)fputs(
			"  client       not told: the addresses of the connection itself count\n",
			out);
	}
	if (header->version == 2 && !header->tlv_len && header->len > header->tlv_at)
		(void)fprintf(out, "  block        %" PRIu32 " bytes that are no TLVs: ignored\n",
			      header->len - header->tlv_at);
	print_tlvs(explain, out);
	print_payload(explain, out);
}

static void print_incomplete(const struct explain *explain, FILE *out)
{
	if (!explain->len)
		(void)fputs("incomplete: no byte yet\n", out);
	else if (explain->header.need > UP_V2_FIXED_LEN)
		(void)fprintf(out,
			      "incomplete: %" PRIu32 " of %" PRIu32
			      " bytes of a version 2 header\n",
			      explain->len, explain->header.need);
	else if (explain->header.need)
		(void)fprintf(out,
			      "incomplete: %" PRIu32
			      " of the first 16 bytes of a version 2 header\n",
			      explain->len);
	else
		(void)fprintf(out,
			      "incomplete: %" PRIu32
			      " bytes of a version 1 line, which ends with CR LF\n",
			      explain->len);
	(void)fputs("  The rest is waited for until header_timeout.\n", out);
}

/* The bytes around the refused one as text, a caret under it. */
static void print_caret_text(const struct explain *explain, FILE *out)
{
	uint32_t at = explain->header.error_at;
	uint32_t from = at > BEFORE_ERROR ? at - BEFORE_ERROR : 0;
	uint32_t to = explain->len - at > AFTER_ERROR ? at + AFTER_ERROR : explain->len;
	int column = 0;

	(void)fprintf(out, "  %s", from ? "..." : "");
	for (uint32_t i = from; i < to; i++) {
		int width = print_byte(out, explain->bytes[i]);

		column += i < at ? width : 0;
	}
	(void)fprintf(out, "%s\n  %*s^\n", to < explain->len ? "..." : "", column + (from ? 3 : 0),
		      "");
}

/* The row of a hex dump that has the refused byte, a caret under it. */
static void print_caret_hex(const struct explain *explain, FILE *out)
{
	uint32_t at = explain->header.error_at, from = at - at % DUMP_ROW;

	(void)fprintf(out, "  %5" PRIu32 "  ", from);
	for (uint32_t i = from; i < explain->len && i < from + DUMP_ROW; i++)
		(void)fprintf(out, i > from ? " %02x" : "%02x", explain->bytes[i]);
	(void)fprintf(out, "\n  %5s  %*s^^\n", "", (int)(3 * (at - from)), "");
}

static void print_invalid(const struct explain *explain, FILE *out)
{
	const struct up_header *header = &explain->header;
	enum up_reason reason = (enum up_reason)header->reason;

	(void)fprintf(out, "invalid: %s at byte %" PRIu32 "\n", up_reason_name(reason),
		      header->error_at);
	if (isprint(explain->bytes[0]))
		print_caret_text(explain, out);
	else
		print_caret_hex(explain, out);
	(void)fprintf(out, "  %s\n", reason_hint_for(reason, explain->bytes, explain->len));
}

void explain_print(const struct explain *explain, FILE *out)
{
	switch (explain->status) {
	case UP_HEADER_COMPLETE:
		print_complete(explain, out);
		break;
	case UP_HEADER_INCOMPLETE:
		print_incomplete(explain, out);
		break;
	case UP_HEADER_INVALID:
		print_invalid(explain, out);
		break;
	}
}
