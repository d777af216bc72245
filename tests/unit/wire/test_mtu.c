/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_wire.h"

Test(mtu, documented_budgets)
{
	cr_assert_eq(lode_wire_mtu_segment(1500, false), 1436);
	cr_assert_eq(lode_wire_mtu_segment(1500, true), 1416);
	cr_assert_eq(lode_wire_mtu_segment(LODE_WIRE_MTU_BASE, false), 1216);
	cr_assert_eq(lode_wire_mtu_segment(LODE_WIRE_MTU_MIN - 1, false), 0);
}

Test(mtu, the_smallest_usable_path_decides)
{
	uint16_t e[LODE_WIRE_PATHS] = {1436, 1200, 0, 1416};
	cr_assert_eq(lode_wire_mtu_usable(e, 1 | 8), 1416);
	cr_assert_eq(lode_wire_mtu_usable(e, 1 | 2 | 8), 1200);
	cr_assert_eq(lode_wire_mtu_usable(e, 0), 0);
}

Test(mtu, hosts_are_told)
{
	cr_assert_eq(lode_wire_mtu_inner(1436, false), 1436);
	cr_assert_eq(lode_wire_mtu_inner(1200, false), 1200);
	cr_assert_eq(lode_wire_mtu_inner(1200, true), 1280);
	cr_assert_eq(lode_wire_mtu_mss(1436, false), 1396);
	cr_assert_eq(lode_wire_mtu_mss(1436, true), 1376);
	cr_assert_eq(lode_wire_mtu_mss(30, false), 0);
}

Test(mtu, parts_carry_the_packet)
{
	cr_assert_eq(lode_wire_mtu_parts(1436, 1436), 1);
	cr_assert_eq(lode_wire_mtu_parts(1437, 1436), 2);
	cr_assert_eq(lode_wire_mtu_parts(8 * 1200, 1200), 8);
	cr_assert_eq(lode_wire_mtu_parts(8 * 1200 + 1, 1200), 0);
	cr_assert_eq(lode_wire_mtu_parts(1, 0), 0);
	cr_assert_eq(lode_wire_mtu_parts(0, 1200), 0);
}

/* A SYN with an MSS option behind n_nops, checksum right over the IPv4 pseudo header. */
static size_t make_syn(uint8_t *ip, unsigned n_nops, uint16_t mss)
{
	static const uint8_t header[20] = {0x45, [9] = 6, [12] = 10, 0, 0, 1, 10, 0, 0, 2};
	uint8_t *tcp = ip + 20;
	memset(ip, 0, 80);
	memcpy(ip, header, 20);
	memset(tcp + 20, 1, n_nops);
	tcp[20 + n_nops] = 2;
	tcp[21 + n_nops] = 4;
	lode_store_be16(tcp + 22 + n_nops, mss);
	tcp[12] = 7 << 4;
	tcp[13] = 2;
	uint16_t sum = lode_wire_l4_checksum(ip, 6, tcp, 28);
	memcpy(tcp + 16, &sum, 2);
	return 28;
}

Test(mtu, mss_is_lowered_and_the_checksum_stays_right)
{
	for (unsigned n_nops = 0; n_nops <= 4; n_nops++) {
		uint8_t ip[80], *tcp = ip + 20;
		size_t len = make_syn(ip, n_nops, 1460);
		cr_assert(lode_wire_mtu_clamp_mss(tcp, len, 1396));
		cr_assert_eq(lode_load_be16(tcp + 22 + n_nops), 1396);
		cr_assert_eq(lode_wire_l4_checksum(ip, 6, tcp, len), 0, "%u NOPs", n_nops);
		cr_assert_not(lode_wire_mtu_clamp_mss(tcp, len, 1396));
	}
}

Test(mtu, other_segments_stay_as_they_are)
{
	uint8_t ip[80], copy[80], *tcp = ip + 20;
	size_t len = make_syn(ip, 0, 1460);
	tcp[13] = 0x10; /* ACK */
	cr_assert_not(lode_wire_mtu_clamp_mss(tcp, len, 500));
	make_syn(ip, 0, 1460);
	for (unsigned option_len = 0; option_len < 256; option_len++) {
		if (option_len == 4)
			continue;
		tcp[21] = (uint8_t)option_len;
		memcpy(copy, ip, sizeof(ip));
		cr_assert_not(lode_wire_mtu_clamp_mss(tcp, len, 500));
		cr_assert_arr_eq(copy, ip, sizeof(ip));
	}
	make_syn(ip, 0, 1460);
	cr_assert_not(lode_wire_mtu_clamp_mss(tcp, 27, 500), "options cut");
	tcp[12] = 4 << 4;
	cr_assert_not(lode_wire_mtu_clamp_mss(tcp, len, 500), "header shorter than TCP's");
}
