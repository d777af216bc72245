/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_wire.h"

#define IPV4_BYTES  20
#define IPV6_BYTES  40
#define ICMP_BYTES  8
#define QUOTE4_MAX  (576 - IPV4_BYTES - ICMP_BYTES)  /* RFC 1812 4.3.2.3 */
#define QUOTE6_MAX  (1280 - IPV6_BYTES - ICMP_BYTES) /* RFC 4443 2.4 (c) */
#define HOP_LIMIT   64
#define PROTO_ICMP  1
#define PROTO_ICMP6 58
static_assert(LODE_WIRE_ICMP_MAX == IPV6_BYTES + ICMP_BYTES + QUOTE6_MAX, "room for the longest");

/* RFC 1122 3.2.2: no error about an ICMP error, a later fragment, or a broadcast or multicast address. */
static bool may_answer4(const uint8_t *ip, size_t len)
{
	size_t header_bytes = (ip[0] & 15) * 4u;
	if (header_bytes < IPV4_BYTES || header_bytes > len || (lode_load_be16(ip + 6) & 0x1fff))
		return false;
	if (ip[12] == 0 || ip[12] == 127 || ip[12] >= 224 || ip[16] >= 224)
		return false;
	if (ip[9] != PROTO_ICMP)
		return true;
	/* Queries only: echo and timestamp. */
	uint8_t type = len > header_bytes ? ip[header_bytes] : 3;
	return type == 0 || type == 8 || type == 13 || type == 14;
}

/* The header that tells what is inside is the first one: behind extension headers an ICMPv6 error cannot be
 * told apart cheaply, so those packets get no answer but "too big", which path MTU discovery needs. */
static bool may_answer6(enum lode_wire_icmp kind, const uint8_t *ip, size_t len)
{
	static const uint8_t none[16];
	if (ip[8] == 0xff || !memcmp(ip + 8, none, 16))
		return false;
	if (kind == LODE_WIRE_ICMP_TOO_BIG)
		return ip[6] != PROTO_ICMP6 || len <= IPV6_BYTES || ip[IPV6_BYTES] >= 128;
	if (ip[24] == 0xff)
		return false;
	switch (ip[6]) {
	case 6:
	case 17:
		return true;
	case PROTO_ICMP6:
		return len > IPV6_BYTES && ip[IPV6_BYTES] >= 128;
	default:
		return false;
	}
}

static size_t error4(enum lode_wire_icmp kind, uint16_t mtu, const struct lode_ip *src,
	const uint8_t *cause, size_t cause_bytes, uint8_t *out, size_t size)
{
	static const uint8_t type_code[][2] = {
		[LODE_WIRE_ICMP_TOO_BIG] = {3, 4},
		[LODE_WIRE_ICMP_NO_ROUTE] = {3, 0},
		[LODE_WIRE_ICMP_TIME_EXCEEDED] = {11, 0},
	};
	size_t quote = LODE_MIN(cause_bytes, QUOTE4_MAX);
	size_t len = IPV4_BYTES + ICMP_BYTES + quote;
	if (len > size || !may_answer4(cause, cause_bytes))
		return 0;
	memset(out, 0, IPV4_BYTES + ICMP_BYTES);
	out[0] = 0x45;
	lode_store_be16(out + 2, (uint16_t)len);
	out[8] = HOP_LIMIT;
	out[9] = PROTO_ICMP;
	memcpy(out + 12, src->b + 12, 4);
	memcpy(out + 16, cause + 12, 4);
	uint16_t sum = lode_wire_ipv4_checksum(out, IPV4_BYTES);
	memcpy(out + 10, &sum, 2);

	uint8_t *icmp = out + IPV4_BYTES;
	icmp[0] = type_code[kind][0];
	icmp[1] = type_code[kind][1];
	if (kind == LODE_WIRE_ICMP_TOO_BIG)
		lode_store_be16(icmp + 6, mtu);
	memcpy(icmp + ICMP_BYTES, cause, quote);
	sum = (uint16_t)~lode_wire_sum_fold(lode_wire_sum(0, icmp, ICMP_BYTES + quote));
	memcpy(icmp + 2, &sum, 2);
	return len;
}

static size_t error6(enum lode_wire_icmp kind, uint16_t mtu, const struct lode_ip *src,
	const uint8_t *cause, size_t cause_bytes, uint8_t *out, size_t size)
{
	static const uint8_t type_code[][2] = {
		[LODE_WIRE_ICMP_TOO_BIG] = {2, 0},
		[LODE_WIRE_ICMP_NO_ROUTE] = {1, 0},
		[LODE_WIRE_ICMP_TIME_EXCEEDED] = {3, 0},
	};
	size_t quote = LODE_MIN(cause_bytes, QUOTE6_MAX);
	size_t len = IPV6_BYTES + ICMP_BYTES + quote;
	if (len > size || !may_answer6(kind, cause, cause_bytes))
		return 0;
	memset(out, 0, IPV6_BYTES + ICMP_BYTES);
	out[0] = 0x60;
	lode_store_be16(out + 4, (uint16_t)(ICMP_BYTES + quote));
	out[6] = PROTO_ICMP6;
	out[7] = HOP_LIMIT;
	memcpy(out + 8, src->b, 16);
	memcpy(out + 24, cause + 8, 16);

	uint8_t *icmp = out + IPV6_BYTES;
	icmp[0] = type_code[kind][0];
	icmp[1] = type_code[kind][1];
	if (kind == LODE_WIRE_ICMP_TOO_BIG)
		lode_store_be32(icmp + 4, mtu);
	memcpy(icmp + ICMP_BYTES, cause, quote);
	uint16_t sum = lode_wire_l4_checksum(out, PROTO_ICMP6, icmp, ICMP_BYTES + quote);
	memcpy(icmp + 2, &sum, 2);
	return len;
}

size_t lode_wire_icmp_error(enum lode_wire_icmp kind, uint16_t mtu_bytes, const struct lode_ip *src,
	const uint8_t *cause, size_t cause_bytes, uint8_t *out, size_t size)
{
	if (cause_bytes >= IPV4_BYTES && cause[0] >> 4 == 4)
		return error4(kind, mtu_bytes, src, cause, cause_bytes, out, size);
	if (cause_bytes >= IPV6_BYTES && cause[0] >> 4 == 6)
		return error6(kind, mtu_bytes, src, cause, cause_bytes, out, size);
	return 0;
}
