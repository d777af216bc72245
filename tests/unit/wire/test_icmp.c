/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_wire.h"

static uint8_t cause[1500], out[LODE_WIRE_ICMP_MAX];

static struct lode_ip address(const char *text)
{
	struct lode_ip ip;
	cr_assert_eq(lode_ip_parse(text, &ip), 0);
	return ip;
}

static void make_v4(uint8_t protocol)
{
	memset(cause, 0, sizeof(cause));
	cause[0] = 0x45;
	cause[9] = protocol;
	memcpy(cause + 12, (uint8_t[]){10, 0, 0, 5}, 4);
	memcpy(cause + 16, (uint8_t[]){10, 9, 0, 7}, 4);
}

static void make_v6(uint8_t protocol)
{
	struct lode_ip src = address("fd00::5"), dst = address("fd09::7");
	memset(cause, 0, sizeof(cause));
	cause[0] = 0x60;
	cause[6] = protocol;
	memcpy(cause + 8, src.b, 16);
	memcpy(cause + 24, dst.b, 16);
}

static size_t answer(enum lode_wire_icmp kind, const char *src)
{
	struct lode_ip ip = address(src);
	return lode_wire_icmp_error(kind, 1400, &ip, cause, sizeof(cause), out, sizeof(out));
}

Test(icmp, too_big_for_ipv4)
{
	make_v4(6);
	size_t len = answer(LODE_WIRE_ICMP_TOO_BIG, "10.0.0.1");
	cr_assert_eq(len, 576);
	cr_assert_eq(lode_load_be16(out + 2), len);
	cr_assert_arr_eq(out + 16, cause + 12, 4);
	cr_assert_eq(out[20], 3);
	cr_assert_eq(out[21], 4);
	cr_assert_eq(lode_load_be16(out + 26), 1400);
	cr_assert_arr_eq(out + 28, cause, len - 28);
	cr_assert_eq(lode_wire_sum_fold(lode_wire_sum(0, out, 20)), 0xffff);
	cr_assert_eq(lode_wire_sum_fold(lode_wire_sum(0, out + 20, len - 20)), 0xffff);
}

Test(icmp, too_big_for_ipv6)
{
	make_v6(17);
	size_t len = answer(LODE_WIRE_ICMP_TOO_BIG, "fd00::1");
	cr_assert_eq(len, 1280);
	cr_assert_eq(lode_load_be16(out + 4), len - 40);
	cr_assert_arr_eq(out + 24, cause + 8, 16);
	cr_assert_eq(out[40], 2);
	cr_assert_eq(lode_load_be32(out + 44), 1400);
	cr_assert_eq(lode_wire_l4_checksum(out, 58, out + 40, len - 40), 0);
}

Test(icmp, no_error_about_an_error)
{
	make_v4(1);
	cause[20] = 8;
	cr_assert_gt(answer(LODE_WIRE_ICMP_NO_ROUTE, "10.0.0.1"), 0);
	cause[20] = 3;
	cr_assert_eq(answer(LODE_WIRE_ICMP_NO_ROUTE, "10.0.0.1"), 0);
	make_v6(58);
	cause[40] = 128;
	cr_assert_gt(answer(LODE_WIRE_ICMP_NO_ROUTE, "fd00::1"), 0);
	cause[40] = 1;
	cr_assert_eq(answer(LODE_WIRE_ICMP_NO_ROUTE, "fd00::1"), 0);
	cr_assert_eq(answer(LODE_WIRE_ICMP_TOO_BIG, "fd00::1"), 0);
}

Test(icmp, no_error_about_fragments_and_groups)
{
	make_v4(17);
	lode_store_be16(cause + 6, 100);
	cr_assert_eq(answer(LODE_WIRE_ICMP_TIME_EXCEEDED, "10.0.0.1"), 0);
	make_v4(17);
	cause[16] = 224;
	cr_assert_eq(answer(LODE_WIRE_ICMP_NO_ROUTE, "10.0.0.1"), 0);
	make_v6(17);
	cause[24] = 0xff;
	cr_assert_eq(answer(LODE_WIRE_ICMP_NO_ROUTE, "fd00::1"), 0);
	cr_assert_gt(answer(LODE_WIRE_ICMP_TOO_BIG, "fd00::1"), 0, "RFC 4443 2.4 (e.3)");
}

Test(icmp, short_causes_and_small_buffers_give_nothing)
{
	struct lode_ip src = address("10.0.0.1");
	make_v4(6);
	for (size_t len = 0; len < 20; len++)
		cr_assert_eq(lode_wire_icmp_error(LODE_WIRE_ICMP_NO_ROUTE, 0, &src, cause, len, out,
				     sizeof(out)),
			0);
	cr_assert_eq(lode_wire_icmp_error(LODE_WIRE_ICMP_NO_ROUTE, 0, &src, cause, 60, out, 87), 0);
	cr_assert_eq(
		lode_wire_icmp_error(LODE_WIRE_ICMP_NO_ROUTE, 0, &src, cause, 60, out, 88), 88);
}
