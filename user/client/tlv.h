/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TLVs of a version 2 header by meaning: a typed view into the caller's bytes.
 * No allocation, no text: every value is bytes and may hold anything, NUL included.
 */
#ifndef CLIENT_TLV_H
#define CLIENT_TLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLV_UNKNOWN_MAX 16

/* One TLV. value points into the caller's bytes; NULL: absent. len may be 0 when present. */
struct tlv_view {
	const uint8_t *value;
	uint16_t len;
	uint8_t type;
};

static inline bool tlv_present(const struct tlv_view *view)
{
	return view->value != NULL;
}

#define TLV_SSL_CLIENT_SSL 0x01       /* the client came over TLS */
#define TLV_SSL_CLIENT_CERT_CONN 0x02 /* it gave a certificate on this connection */
#define TLV_SSL_CLIENT_CERT_SESS 0x04 /* ... or once in this TLS session */

struct tlv_ssl {
	bool present;
	uint8_t client;             /* TLV_SSL_CLIENT_*: bits */
	uint32_t verify;            /* 0: the client's certificate was verified (or it gave none) */
	struct tlv_view version;    /* "TLSv1.3" */
	struct tlv_view cn;         /* of the client's certificate, UTF-8 by the specification */
	struct tlv_view cipher;     /* "TLS_AES_128_GCM_SHA256" */
	struct tlv_view sig_alg;    /* of the balancer's certificate: "SHA256" */
	struct tlv_view key_alg;    /* ... "RSA2048" */
	struct tlv_view group;      /* key exchange: "X25519" */
	struct tlv_view sig_scheme; /* "rsa_pss_rsae_sha256" */
	struct tlv_view cert;       /* the client's certificate, DER */
};

struct tlv_set {
	struct tlv_view alpn;
	struct tlv_view authority; /* SNI or the like */
	struct tlv_view unique_id;
	struct tlv_view netns;
	struct tlv_view aws_vpce_id; /* the text alone, without its subtype byte */
	/* 0xE1 comes once for each of its subtypes; the ids alone */
	struct tlv_view alibaba_vpc_id;
	struct tlv_view alibaba_endpoint_id;
	struct tlv_view alibaba_service_id;
	struct tlv_ssl ssl;
	uint64_t gcp_psc_id;
	uint32_t azure_link_id;
	uint32_t crc32c;
	bool has_gcp_psc_id;
	bool has_azure_link_id;
	bool has_crc32c;
	uint16_t noop_bytes; /* of all NOOP values together */
	/* Types without a meaning here, and those above whose value has another shape than
	 * their vendor documents; in order, first of duplicates. */
	struct tlv_view unknown[TLV_UNKNOWN_MAX];
	size_t n_unknown;
	size_t n_unknown_left_out; /* distinct ones beyond TLV_UNKNOWN_MAX are counted only */
};

/* Decode a TLV range (header + tlv_at, tlv_len of struct up_header). First of duplicates
 * wins. The views live as long as the bytes. Returns 0, or -EBADMSG if the range does not
 * tile (then *ret holds what came before). Bounded, no allocation. */
int tlv_decode(const uint8_t *tlvs, size_t len, struct tlv_set *ret);

/* "authority", "ssl", "aws", ...; NULL for a type without a name here. */
const char *tlv_type_name(uint8_t type);

/* As tlv_type_name(), for the TLVs inside of an SSL TLV: "version", "cn", ... */
const char *tlv_ssl_type_name(uint8_t type);

#endif
