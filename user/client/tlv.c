// SPDX-License-Identifier: BSD-2-Clause
/* The TLVs of a version 2 header by meaning. What does not look as its vendor documents
 * it is kept as unknown: nothing is lost on the way to the log. */
#include "client/tlv.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "unproxy/proxy_tlv.h"

#define AWS_VPCE_ID 0x01    /* subtype of 0xEA */
#define AZURE_LINK_ID 0x01  /* subtype of 0xEE */
#define ALIBABA_VPC_ID 0x01 /* subtypes of 0xE1 */
#define ALIBABA_ENDPOINT_ID 0x02
#define ALIBABA_SERVICE_ID 0x03

static const struct {
	uint8_t type;
	const char *name;
} type_names[] = {
	{ UP_TLV_ALPN, "alpn" },     { UP_TLV_AUTHORITY, "authority" },
	{ UP_TLV_CRC32C, "crc32c" }, { UP_TLV_NOOP, "noop" },
	{ UP_TLV_SSL, "ssl" },       { UP_TLV_UNIQUE_ID, "unique_id" },
	{ UP_TLV_NETNS, "netns" },   { UP_TLV_GCP, "gcp_psc_id" },
	{ UP_TLV_AWS, "aws" },       { UP_TLV_ALIBABA, "alibaba" },
	{ UP_TLV_AZURE, "azure" },
};

/* The TLVs inside of an SSL TLV are consecutive types from 0x21 on. */
#define SSL_FIRST_TYPE 0x21
static const struct {
	const char *name;
	size_t at;
} ssl_fields[] = {
	{ "version", offsetof(struct tlv_ssl, version) },
	{ "cn", offsetof(struct tlv_ssl, cn) },
	{ "cipher", offsetof(struct tlv_ssl, cipher) },
	{ "sig_alg", offsetof(struct tlv_ssl, sig_alg) },
	{ "key_alg", offsetof(struct tlv_ssl, key_alg) },
	{ "group", offsetof(struct tlv_ssl, group) },
	{ "sig_scheme", offsetof(struct tlv_ssl, sig_scheme) },
	{ "cert", offsetof(struct tlv_ssl, cert) },
};

const char *tlv_type_name(uint8_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(type_names); i++)
		if (type_names[i].type == type)
			return type_names[i].name;
	return NULL;
}

const char *tlv_ssl_type_name(uint8_t type)
{
	size_t index = (size_t)type - SSL_FIRST_TYPE;

	return index < ARRAY_SIZE(ssl_fields) ? ssl_fields[index].name : NULL;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void keep_first(struct tlv_view *view, const struct up_tlv *tlv)
{
	if (!tlv_present(view))
		*view = (struct tlv_view){ tlv->value, tlv->len, tlv->type };
}

/* As keep_first(), without the subtype byte. */
static void keep_first_id(struct tlv_view *view, const struct up_tlv *tlv)
{
	const struct up_tlv id = { tlv->value + 1, (uint16_t)(tlv->len - 1), tlv->type };

	keep_first(view, &id);
}

static void keep_unknown(struct tlv_set *set, const struct up_tlv *tlv)
{
	for (size_t i = 0; i < set->n_unknown; i++)
		if (set->unknown[i].type == tlv->type)
			return;
	if (set->n_unknown == TLV_UNKNOWN_MAX) {
		set->n_unknown_left_out++;
		return;
	}
	set->unknown[set->n_unknown++] = (struct tlv_view){ tlv->value, tlv->len, tlv->type };
}

static void decode_ssl(struct tlv_set *set, const struct up_tlv *tlv)
{
	struct up_tlv_walk walk = { tlv->value + 5, tlv->value + tlv->len };
	struct up_tlv inner;

	if (set->ssl.present)
		return;
	if (tlv->len < 5) {
		keep_unknown(set, tlv);
		return;
	}
	set->ssl.present = true;
	set->ssl.client = tlv->value[0];
	set->ssl.verify = be32(tlv->value + 1);
	while (up_tlv_next(&walk, &inner)) {
		size_t index = (size_t)inner.type - SSL_FIRST_TYPE;

		if (index < ARRAY_SIZE(ssl_fields))
			keep_first((struct tlv_view *)((char *)&set->ssl + ssl_fields[index].at),
				   &inner);
	}
}

static void decode_alibaba(struct tlv_set *set, const struct up_tlv *tlv)
{
	switch (tlv->len ? tlv->value[0] : 0) {
	case ALIBABA_VPC_ID:
		keep_first_id(&set->alibaba_vpc_id, tlv);
		break;
	case ALIBABA_ENDPOINT_ID:
		keep_first_id(&set->alibaba_endpoint_id, tlv);
		break;
	case ALIBABA_SERVICE_ID:
		keep_first_id(&set->alibaba_service_id, tlv);
		break;
	default:
		keep_unknown(set, tlv);
		break;
	}
}

/* The ids that private links carry. */
static void decode_vendor(struct tlv_set *set, const struct up_tlv *tlv)
{
	if (tlv->type == UP_TLV_AWS && tlv->len >= 1 && tlv->value[0] == AWS_VPCE_ID) {
		keep_first_id(&set->aws_vpce_id, tlv);
	} else if (tlv->type == UP_TLV_AZURE && tlv->len == 5 && tlv->value[0] == AZURE_LINK_ID) {
		/* little endian, unlike anything else in the protocol */
		if (!set->has_azure_link_id)
			set->azure_link_id = __builtin_bswap32(be32(tlv->value + 1));
		set->has_azure_link_id = true;
	} else if (tlv->type == UP_TLV_GCP && tlv->len == 8) {
		if (!set->has_gcp_psc_id)
			set->gcp_psc_id = (uint64_t)be32(tlv->value) << 32 | be32(tlv->value + 4);
		set->has_gcp_psc_id = true;
	} else if (tlv->type == UP_TLV_ALIBABA) {
		decode_alibaba(set, tlv);
	} else {
		keep_unknown(set, tlv);
	}
}

static void decode_crc32c(struct tlv_set *set, const struct up_tlv *tlv)
{
	if (tlv->len != 4) {
		keep_unknown(set, tlv);
		return;
	}
	if (!set->has_crc32c)
		set->crc32c = be32(tlv->value);
	set->has_crc32c = true;
}

static void decode_one(struct tlv_set *set, const struct up_tlv *tlv)
{
	switch (tlv->type) {
	case UP_TLV_ALPN:
		keep_first(&set->alpn, tlv);
		break;
	case UP_TLV_AUTHORITY:
		keep_first(&set->authority, tlv);
		break;
	case UP_TLV_UNIQUE_ID:
		keep_first(&set->unique_id, tlv);
		break;
	case UP_TLV_NETNS:
		keep_first(&set->netns, tlv);
		break;
	case UP_TLV_NOOP:
		set->noop_bytes = (uint16_t)(set->noop_bytes + tlv->len);
		break;
	case UP_TLV_CRC32C:
		decode_crc32c(set, tlv);
		break;
	case UP_TLV_SSL:
		decode_ssl(set, tlv);
		break;
	default:
		decode_vendor(set, tlv);
		break;
	}
}

int tlv_decode(const uint8_t *tlvs, size_t len, struct tlv_set *ret)
{
	struct up_tlv_walk walk;
	struct up_tlv tlv;

	*ret = (struct tlv_set){ 0 };
	if (!len) /* tlvs may be NULL then */
		return 0;
	walk = (struct up_tlv_walk){ tlvs, tlvs + len };
	while (up_tlv_next(&walk, &tlv))
		decode_one(ret, &tlv);
	return walk.at == walk.end ? 0 : -EBADMSG;
}
