// SPDX-License-Identifier: BSD-2-Clause
#include "takeover/codec.h"

void write_addr(struct writer *writer, const struct up_addr *addr)
{
	write_bytes(writer, addr->ip, sizeof(addr->ip));
	write_u16(writer, addr->port);
	write_u8(writer, addr->family);
}

void read_addr(struct reader *reader, struct up_addr *ret)
{
	*ret = (struct up_addr){ 0 };
	read_bytes(reader, ret->ip, sizeof(ret->ip));
	ret->port = read_u16(reader);
	ret->family = read_u8(reader);
	if (ret->family != UP_FAMILY_NONE && ret->family != UP_FAMILY_IPV4 &&
	    ret->family != UP_FAMILY_IPV6)
		reader->overrun = true;
}

void write_text(struct writer *writer, const char *text)
{
	size_t len = strlen(text);

	if (len > UINT16_MAX) {
		writer->overrun = true;
		return;
	}
	write_u16(writer, (uint16_t)len);
	write_bytes(writer, text, len);
}

void read_text(struct reader *reader, char *buf, size_t size)
{
	uint16_t len = read_u16(reader);

	buf[0] = '\0';
	if (len >= size) {
		reader->overrun = true;
		return;
	}
	read_bytes(reader, buf, len);
	buf[len] = '\0';
}
