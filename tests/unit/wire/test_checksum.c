/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_wire.h"

/* RFC 1071, 4.1: 16 bits at a time, network order. */
static uint16_t naive_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < len; i += 2) {
		sum += (uint32_t)p[i] << 8 | (i + 1 < len ? p[i + 1] : 0);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

Test(checksum, sum_agrees_with_the_naive_one)
{
	static uint8_t data[9000];
	struct lode_rng rng;
	lode_rng_seed(&rng, 3);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)lode_rng_u64(&rng);
	for (size_t len = 0; len < sizeof(data); len += 1 + len / 7) {
		uint16_t be = lode_wire_sum_fold(lode_wire_sum(0, data, len));
		cr_assert_eq(__builtin_bswap16(be), naive_sum(data, len), "length %zu", len);
	}
	memset(data, 0xff, sizeof(data));
	cr_assert_eq(lode_wire_sum_fold(lode_wire_sum(0, data, sizeof(data))), 0xffff);
}

Test(checksum, ipv4_header_of_a_published_example)
{
	/* Wikipedia, "Internet checksum": 0xb861. */
	uint8_t ip[20] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61,
		0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
	uint16_t be = lode_wire_ipv4_checksum(ip, 20);
	cr_assert_eq(__builtin_bswap16(be), 0xb861);
}

static void check_udp(uint8_t *ip, size_t ip_bytes, uint8_t *udp, size_t udp_bytes,
	const uint8_t *addresses, size_t address_bytes)
{
	uint8_t naive[256] = {0};
	memcpy(naive, addresses, address_bytes);
	naive[address_bytes + 1] = 17;
	lode_store_be16(naive + address_bytes + 2, (uint16_t)udp_bytes);
	memcpy(naive + address_bytes + 4, udp, udp_bytes);
	uint16_t want = (uint16_t)~naive_sum(naive, address_bytes + 4 + udp_bytes);
	uint16_t be = lode_wire_l4_checksum(ip, 17, udp, udp_bytes);
	cr_assert_eq(__builtin_bswap16(be), want);
	memcpy(udp + 6, &be, 2);
	cr_assert_eq(lode_wire_l4_checksum(ip, 17, udp, udp_bytes), 0, "a right checksum gives 0");
	udp[8] ^= 1;
	cr_assert_neq(lode_wire_l4_checksum(ip, 17, udp, udp_bytes), 0);
	(void)ip_bytes;
}

Test(checksum, udp_over_both_families)
{
	uint8_t ip4[20] = {0x45, [9] = 17, [12] = 10, 0, 0, 1, 192, 168, 7, 9};
	uint8_t ip6[40] = {
		0x60, [6] = 17, [8] = 0x20, 1, 0xd, 0xb8, [23] = 1, [24] = 0xfd, [39] = 2};
	uint8_t udp[21] = {0x12, 0x34, 0xc8, 0x21, 0, 21, 0, 0, 'o', 'd', 'd', ' ', 'l', 'e', 'n'};
	check_udp(ip4, 20, udp, sizeof(udp), ip4 + 12, 8);
	memset(udp + 6, 0, 2);
	check_udp(ip6, 40, udp, sizeof(udp), ip6 + 8, 32);
}

Test(checksum, update_equals_computing_again)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, 5);
	for (int i = 0; i < 20000; i++) {
		uint8_t ip[20] = {0x45};
		for (int j = 1; j < 20; j++)
			ip[j] = (uint8_t)lode_rng_u64(&rng);
		uint16_t before = lode_wire_ipv4_checksum(ip, 20), old_be, new_be;
		memcpy(&old_be, ip + 8, 2);
		lode_store_be16(ip + 8, (uint16_t)lode_rng_u64(&rng));
		memcpy(&new_be, ip + 8, 2);
		cr_assert_eq(lode_wire_checksum_update(before, old_be, new_be),
			lode_wire_ipv4_checksum(ip, 20));
	}
}
