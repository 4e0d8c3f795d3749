/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * CRC-32C (Castagnoli), a byte at a time. A table of 16 entries: headers are short, and
 * the table is part of each BPF program that includes this.
 */
#ifndef UNPROXY_CRC32C_H
#define UNPROXY_CRC32C_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define UP_CRC32C_INIT 0xFFFFFFFFU

static const __u32 up_crc32c_nibble[16] = {
	0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
	0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
	0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
};

/* Start with UP_CRC32C_INIT; the checksum is the bitwise complement of the last result. */
static inline __u32 up_crc32c_byte(__u32 crc, __u8 byte)
{
	crc ^= byte;
	crc = up_crc32c_nibble[crc & 15] ^ (crc >> 4);
	return up_crc32c_nibble[crc & 15] ^ (crc >> 4);
}

#endif
