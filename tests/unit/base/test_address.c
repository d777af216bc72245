/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_base.h"

Test(address, texts_come_back)
{
	static const char *const texts[] = {
		"0.0.0.0", "10.1.2.3", "255.255.255.255", "::1", "fe80::1", "2001:db8::ff:0:1"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(texts); i++) {
		struct lode_ip ip;
		char text[INET6_ADDRSTRLEN];
		cr_assert_eq(lode_ip_parse(texts[i], &ip), 0);
		cr_assert_str_eq(lode_ip_format(&ip, text), texts[i]);
		cr_assert_eq(lode_ip_is_v4(&ip), !strchr(texts[i], ':'));
	}
}

Test(address, what_is_none_is_refused)
{
	static const char *const texts[] = {
		"", "10.1.2", "10.1.2.256", "1.2.3.4/24", " ::1", "fe80::1%lo", "a"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(texts); i++) {
		struct lode_ip ip;
		cr_assert_eq(lode_ip_parse(texts[i], &ip), -EINVAL, "\"%s\"", texts[i]);
	}
}

Test(address, ipv4_sits_in_the_last_bytes)
{
	static const uint8_t bytes[] = {10, 1, 2, 3};
	uint32_t addr_be;
	memcpy(&addr_be, bytes, 4);
	struct lode_ip ip = lode_ip_from_v4_be(addr_be);
	cr_assert_arr_eq(ip.b + 12, bytes, 4);
	cr_assert(lode_ip_is_v4(&ip));
	cr_assert_eq(lode_ip_v4_be(&ip), addr_be);
	cr_assert_not(lode_ip_is_none(&ip));
}

Test(address, any_ipv4_address_is_not_none)
{
	struct lode_ip none = {{0}}, any = lode_ip_from_v4_be(0);
	cr_assert(lode_ip_is_none(&none));
	cr_assert_not(lode_ip_is_none(&any));
}

Test(address, endpoints_differ_by_address_or_port)
{
	struct lode_endpoint a = {.ip = lode_ip_from_v4_be(1), .port = 5}, b = a;
	cr_assert(lode_endpoint_equal(&a, &b));
	b.port = 6;
	cr_assert_not(lode_endpoint_equal(&a, &b));
	b = a;
	b.ip.b[0] = 1;
	cr_assert_not(lode_endpoint_equal(&a, &b));
}
