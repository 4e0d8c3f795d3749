// SPDX-License-Identifier: BSD-2-Clause
/*
 * Our half of the differential run: reads records of a 32-bit length (little endian) and
 * so many bytes from stdin, writes the parser's answer to each as one line of
 * "status reason len version command transport has_addr tlv_at tlv_len src sport dst dport".
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "client/reason.h"
#include "unproxy/proxy_header.h"

static void print_address(const struct up_addr *addr)
{
	putchar(' ');
	for (size_t i = 0; i < sizeof(addr->ip); i++)
		printf("%02x", addr->ip[i]);
	printf(" %u", addr->port);
}

static void print_answer(enum up_header_status status, const struct up_header *header)
{
	static const char *const names[] = { "incomplete", "complete", "invalid" };

	printf("%s %s %u %u %u %u %u %u %u", names[status],
	       up_reason_name((enum up_reason)header->reason), header->len, header->version,
	       header->command, header->transport, header->has_addr, header->tlv_at,
	       header->tlv_len);
	print_address(&header->src);
	print_address(&header->dst);
	putchar('\n');
}

int main(void)
{
	const struct up_header_limits limits = { .max_len = UP_HEADER_MAX };
	unsigned char size[4];

	while (fread(size, 1, sizeof(size), stdin) == sizeof(size)) {
		uint32_t len = size[0] | (uint32_t)size[1] << 8 | (uint32_t)size[2] << 16 |
			       (uint32_t)size[3] << 24;
		_cleanup_free_ uint8_t *bytes = malloc(len + 1);
		struct up_header header;

		if (!bytes || fread(bytes, 1, len, stdin) != len) {
			fprintf(stderr, "batch: cut record\n");
			return 1;
		}
		print_answer(up_header_parse(bytes, len, &limits, &header), &header);
	}
	return 0;
}
