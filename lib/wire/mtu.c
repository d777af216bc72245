/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_wire.h"

#define TCP_HEADER_BYTES 20
#define TCP_CHECKSUM_OFF 16
#define TCP_FLAG_SYN	 0x02
#define TCP_OPT_END	 0
#define TCP_OPT_NOP	 1
#define TCP_OPT_MSS	 2

uint16_t lode_wire_mtu_segment(uint16_t path_mtu_bytes, bool outer_v6)
{
	if (path_mtu_bytes < LODE_WIRE_MTU_MIN)
		return 0;
	return (uint16_t)(path_mtu_bytes - lode_wire_outer_bytes(outer_v6) - LODE_WIRE_OVERHEAD);
}

uint16_t lode_wire_mtu_usable(const uint16_t segment_bytes[LODE_WIRE_PATHS], unsigned usable)
{
	uint16_t least = 0;
	for (unsigned i = 0; i < LODE_WIRE_PATHS; i++)
		if ((usable >> i & 1) && (!least || segment_bytes[i] < least))
			least = segment_bytes[i];
	return least;
}

uint16_t lode_wire_mtu_inner(uint16_t segment_bytes, bool inner_v6)
{
	return inner_v6 ? LODE_MAX(segment_bytes, LODE_WIRE_INNER_MIN) : segment_bytes;
}

uint16_t lode_wire_mtu_mss(uint16_t inner_mtu_bytes, bool inner_v6)
{
	uint16_t headers = (inner_v6 ? 40 : 20) + TCP_HEADER_BYTES;
	return inner_mtu_bytes > headers ? (uint16_t)(inner_mtu_bytes - headers) : 0;
}

unsigned lode_wire_mtu_parts(size_t len, uint16_t segment_bytes)
{
	if (!len)
		return 0;
	size_t carried = 0;
	for (unsigned n = 1; n <= LODE_WIRE_PARTS_MAX; n++) {
		carried += segment_bytes;
		if (len <= carried)
			return n;
	}
	return 0;
}

uint16_t lode_wire_mtu_probe_tlvs(uint16_t path_mtu_bytes, bool outer_v6)
{
	uint16_t around = (uint16_t)(lode_wire_outer_bytes(outer_v6) + LODE_WIRE_CONTROL_OVERHEAD);
	return path_mtu_bytes > around ? (uint16_t)(path_mtu_bytes - around) : 0;
}

/* Value of the MSS option, NULL if there is none or the options are damaged before it. */
static uint8_t *find_mss(uint8_t *tcp, size_t header_bytes)
{
	size_t pos = TCP_HEADER_BYTES;
	while (pos < header_bytes && tcp[pos] != TCP_OPT_END) {
		if (tcp[pos] == TCP_OPT_NOP) {
			pos++;
			continue;
		}
		if (header_bytes - pos < 2 || tcp[pos + 1] < 2 || tcp[pos + 1] > header_bytes - pos)
			return NULL;
		if (tcp[pos] == TCP_OPT_MSS)
			return tcp[pos + 1] == 4 ? tcp + pos + 2 : NULL;
		pos += tcp[pos + 1];
	}
	return NULL;
}

bool lode_wire_mtu_clamp_mss(uint8_t *tcp, size_t len, uint16_t mss)
{
	if (len < TCP_HEADER_BYTES || !(tcp[13] & TCP_FLAG_SYN))
		return false;
	size_t header_bytes = (tcp[12] >> 4) * 4u;
	if (header_bytes < TCP_HEADER_BYTES || header_bytes > len)
		return false;
	uint8_t *value = find_mss(tcp, header_bytes);
	if (!value || lode_load_be16(value) <= mss)
		return false;
	uint16_t old_be, new_be, sum_be;
	memcpy(&old_be, value, 2);
	lode_store_be16(value, mss);
	memcpy(&new_be, value, 2);
	/* An option on an odd offset straddles two of the checksum's words: swapping both halves gives
	 * the same sum (RFC 1071, byte order independence). */
	if ((value - tcp) & 1) {
		old_be = __builtin_bswap16(old_be);
		new_be = __builtin_bswap16(new_be);
	}
	memcpy(&sum_be, tcp + TCP_CHECKSUM_OFF, 2);
	sum_be = lode_wire_checksum_update(sum_be, old_be, new_be);
	memcpy(tcp + TCP_CHECKSUM_OFF, &sum_be, 2);
	return true;
}
