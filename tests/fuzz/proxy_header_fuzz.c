// SPDX-License-Identifier: BSD-2-Clause
/*
 * Any bytes into the parser. Beside what the sanitisers see: the verdict must not depend
 * on how the bytes are split, must stay within them, and what is accepted can be written
 * and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "client/header_write.h"
#include "client/reason.h"
#include "client/tlv.h"
#include "unproxy/proxy_header.h"

/* Prefixes tried beyond the byte that decides. */
#define BEYOND 16

static const struct up_header_limits no_limits = { .max_len = UP_HEADER_MAX };

#define REQUIRE(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* Parse a copy of the exact size: one byte too far is seen. */
static enum up_header_status parse(const uint8_t *data, size_t len,
				   const struct up_header_limits *limits, struct up_header *ret)
{
	_cleanup_free_ uint8_t *exact = malloc(len);

	if (len)
		memcpy(exact, data, len);
	return up_header_parse(exact, (uint32_t)len, limits, ret);
}

static void check_fields(const uint8_t *data, size_t size, enum up_header_status status,
			 const struct up_header *header)
{
	static const struct up_addr none;
	struct tlv_set set;

	REQUIRE((status == UP_HEADER_INVALID) == (header->reason != UP_REASON_NONE));
	REQUIRE(header->reason < UP_REASON_EMPTY); /* those behind are not the parser's */
	if (status == UP_HEADER_INVALID)
		REQUIRE(header->error_at < size);
	if (status == UP_HEADER_INCOMPLETE)
		REQUIRE(!header->need || header->need > size);
	if (!header->has_addr)
		REQUIRE(!memcmp(&header->src, &none, sizeof(none)) &&
			!memcmp(&header->dst, &none, sizeof(none)));
	if (status != UP_HEADER_COMPLETE)
		return;
	REQUIRE(header->len <= size && header->len >= 15);
	REQUIRE(header->version == 1 || header->version == 2);
	REQUIRE(header->version == 2 || (header->tlv_len == 0 && header->len <= UP_HEADER_V1_MAX));
	REQUIRE(!header->tlv_len || header->tlv_at + header->tlv_len == header->len);
	REQUIRE(tlv_decode(data + header->tlv_at, header->tlv_len, &set) == 0);
}

/* The same bytes, as they would come in pieces. */
static void check_prefixes(const uint8_t *data, size_t size, enum up_header_status status,
			   const struct up_header *header)
{
	size_t decided = size + 1;

	for (size_t len = 0; len < size && len < decided + BEYOND; len++) {
		struct up_header at;
		enum up_header_status then = parse(data, len, &no_limits, &at);

		if (then == UP_HEADER_INCOMPLETE) {
			REQUIRE(decided > size);
			continue;
		}
		decided = decided < len ? decided : len;
		REQUIRE(then == status && !memcmp(&at, header, sizeof(at)));
	}
	if (status == UP_HEADER_COMPLETE)
		REQUIRE(decided == header->len || (decided > size && header->len == size));
}

/* The limit is exact, and the compatibility switch takes nothing away. */
static void check_limits(const uint8_t *data, size_t size, const struct up_header *header)
{
	struct up_header_limits limits = { .max_len = header->len };
	struct up_header at;

	REQUIRE(parse(data, size, &limits, &at) == UP_HEADER_COMPLETE);
	limits.max_len--;
	REQUIRE(parse(data, size, &limits, &at) == UP_HEADER_INVALID);
	REQUIRE(at.reason == UP_REASON_TOO_LONG);
	limits = no_limits;
	limits.flags = UP_HEADER_V1_IPV4_IN_TCP6;
	REQUIRE(parse(data, size, &limits, &at) == UP_HEADER_COMPLETE);
	REQUIRE(!memcmp(&at, header, sizeof(at)));
}

static void check_written(const uint8_t *data, const struct up_header *header)
{
	static uint8_t buf[UP_HEADER_MAX];
	struct header_write in = { header->command, header->src, header->dst, data + header->tlv_at,
				   header->tlv_len };
	struct up_header again;
	int len;

	len = header_write_v1(&in, buf, sizeof(buf));
	REQUIRE(len > 0 && len <= UP_HEADER_V1_MAX);
	REQUIRE(parse(buf, (size_t)len, &no_limits, &again) == UP_HEADER_COMPLETE);
	REQUIRE(again.len == (uint32_t)len && again.has_addr == header->has_addr);
	REQUIRE(!memcmp(&again.src, &header->src, sizeof(again.src)));

	len = header_write_v2(&in, buf, sizeof(buf));
	REQUIRE(len > 0);
	REQUIRE(parse(buf, (size_t)len, &no_limits, &again) == UP_HEADER_COMPLETE);
	REQUIRE(again.len == (uint32_t)len && again.has_addr == header->has_addr);
	REQUIRE(!memcmp(&again.dst, &header->dst, sizeof(again.dst)));
	REQUIRE(!header->has_addr || again.tlv_len <= header->tlv_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct up_header header;
	enum up_header_status status = parse(data, size, &no_limits, &header);

	check_fields(data, size, status, &header);
	check_prefixes(data, size, status, &header);
	if (status == UP_HEADER_COMPLETE) {
		check_limits(data, size, &header);
		check_written(data, &header);
	}
	if (status == UP_HEADER_INVALID)
		REQUIRE(reason_hint_for((enum up_reason)header.reason, data, size));
	return 0;
}
