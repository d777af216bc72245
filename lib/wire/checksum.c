/* SPDX-License-Identifier: BSD-3-Clause */
/* The Internet checksum in host order loads: the ones' complement sum does not care about byte order as long
 * as result and operands agree (RFC 1071, section 2 B). */
#include "lode_wire.h"

uint64_t lode_wire_sum(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	/* 32-bit words into a 64-bit accumulator: no carry is lost below 2^32 words. */
	for (; len >= 4; len -= 4, p += 4)
		sum += lode_load_le32(p);
	if (len >= 2) {
		sum += (uint16_t)(p[0] | p[1] << 8);
		p += 2;
		len -= 2;
	}
	if (len)
		sum += *p;
	return sum;
}

uint16_t lode_wire_l4_checksum(
	const uint8_t *ip, uint8_t protocol, const uint8_t *l4, size_t l4_bytes)
{
	bool v6 = ip[0] >> 4 == 6;
	uint64_t sum = v6 ? lode_wire_sum(0, ip + 8, 32) : lode_wire_sum(0, ip + 12, 8);
	uint8_t rest[8] = {[7] = protocol};
	lode_store_be32(rest, (uint32_t)l4_bytes);
	sum = lode_wire_sum(sum, rest, sizeof(rest));
	return (uint16_t)~lode_wire_sum_fold(lode_wire_sum(sum, l4, l4_bytes));
}
