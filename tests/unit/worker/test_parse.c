/* SPDX-License-Identifier: BSD-3-Clause */
#include "parse.h"
#include "world.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static uint8_t frame[2048];

static struct ip_info parse_frame(size_t len)
{
	struct ip_info ip;
	cr_assert(parse_ip(frame + 14, (uint32_t)(len - 14), true, &ip));
	return ip;
}

Test(parse, udp4_fields)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", 1234, 53, 100);
	frame[15] = 46 << 2 | 2;
	frame[20] = 0x40;
	world_mend(frame);
	struct ip_info ip = parse_frame(len + 30); /* Ethernet padding behind */
	cr_assert_eq(ip.version, 4);
	cr_assert_eq(ip.total_bytes, 128);
	cr_assert_eq(ip.dscp, 46);
	cr_assert_eq(ip.ecn, 2);
	cr_assert(ip.dont_fragment && ip.has_l4 && !ip.fragment);
	cr_assert_eq(ip.tuple.sport_be, __builtin_bswap16(1234));
	cr_assert_eq(ip.tuple.dport_be, __builtin_bswap16(53));
	cr_assert_eq(ip.tuple.protocol, PROTO_UDP);
}

Test(parse, wrong_header_checksum_is_malformed)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", 1, 2, 10);
	struct ip_info ip;
	frame[14 + 10] ^= 1;
	cr_assert(!parse_ip(frame + 14, (uint32_t)len - 14, true, &ip));
	cr_assert(parse_ip(frame + 14, (uint32_t)len - 14, false, &ip));
}

Test(parse, later_fragment_has_no_ports)
{
	size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", 1, 2, 10);
	lode_store_be16(frame + 20, 0x2000 | 5);
	world_mend(frame);
	struct ip_info ip = parse_frame(len);
	cr_assert(ip.fragment && !ip.has_l4);
	cr_assert_eq(ip.tuple.sport_be, 0);
}

Test(parse, ipv6_extension_headers_are_walked)
{
	size_t len = world_udp6(frame, "2001:db8:1::9", "2001:db8:2::5", 7, 8, 32);
	uint8_t udp[40];
	uint8_t *ip6 = frame + 14;
	memcpy(udp, ip6 + 40, 40);
	memset(ip6 + 40, 0, 24);
	ip6[6] = 0;   /* hop by hop, 16 bytes */
	ip6[40] = 60; /* then destination options, 8 bytes */
	ip6[41] = 1;
	ip6[56] = 17;
	memcpy(ip6 + 64, udp, 40);
	lode_store_be16(ip6 + 4, 24 + 40);
	struct ip_info ip = parse_frame(len + 24);
	cr_assert_eq(ip.tuple.protocol, PROTO_UDP);
	cr_assert_eq(ip.l4_offset, 64);
	cr_assert_eq(ip.tuple.dport_be, __builtin_bswap16(8));
	ip6[41] = 200; /* leaves the packet */
	cr_assert(!parse_ip(ip6, (uint32_t)(len + 24 - 14), true, &ip));
}

Test(parse, ipv6_fragment)
{
	size_t len = world_udp6(frame, "2001:db8:1::9", "2001:db8:2::5", 7, 8, 32);
	frame[14 + 6] = 44;
	memset(frame + 14 + 40, 0, 8);
	frame[14 + 40] = 17;
	lode_store_be16(frame + 14 + 42, 8 << 3);
	struct ip_info ip = parse_frame(len);
	cr_assert(ip.fragment && !ip.has_l4);
}

/* parse_ip and parse_udp are shortcuts: they must agree with parse_ip_any about everything. */
static void shortcuts_agree(const uint8_t *packet, uint32_t len, bool check)
{
	struct ip_info any, ip;
	struct udp_info udp = {0};
	bool ok = parse_ip_any(packet, len, check, &any);
	cr_assert_eq(parse_ip(packet, len, check, &ip), ok);
	cr_assert_eq(parse_udp(packet, len, check, &udp), ok);
	if (!ok)
		return;
	bool is_udp = any.tuple.protocol == PROTO_UDP && any.has_l4;
	cr_assert_eq(memcmp(&ip.tuple, &any.tuple, sizeof(ip.tuple)), 0);
	cr_assert(ip.total_bytes == any.total_bytes && ip.l4_offset == any.l4_offset);
	cr_assert(ip.version == any.version && ip.dscp == any.dscp && ip.ecn == any.ecn);
	cr_assert(ip.ttl == any.ttl && ip.dont_fragment == any.dont_fragment);
	cr_assert(ip.has_l4 == any.has_l4 && ip.fragment == any.fragment);
	cr_assert_eq(ip.tcp_flags, any.tcp_flags);
	cr_assert(udp.total_bytes == any.total_bytes && udp.l4_offset == any.l4_offset);
	cr_assert(udp.port_be == (is_udp ? any.tuple.dport_be : 0) && udp.ecn == any.ecn);
}

/* Whatever a length field says, nothing outside the buffer is read: the sanitizers watch an exact copy. */
Test(parse, hostile_bytes_stay_inside)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, 1);
	for (unsigned round = 0; round < 200000; round++) {
		bool v6 = round & 1;
		size_t len = v6 ? world_udp6(frame, "2001:db8:1::9", "2001:db8:2::5", 7, 8, 64)
				: world_udp4(frame, "10.1.0.9", "10.2.0.5", 1, 2, 64);
		for (unsigned k = 0; k < 4; k++)
			frame[14 + lode_rng_below(&rng, 48)] = (uint8_t)lode_rng_u64(&rng);
		if (!v6 && round & 2)
			frame[14 + 9] = PROTO_TCP;
		size_t cut = 14 + lode_rng_below(&rng, len - 13);
		uint8_t *exact = malloc(cut);
		memcpy(exact, frame, cut);
		struct ether_info ether;
		struct ip_info ip;
		parse_ether(exact, (uint32_t)cut, &ether);
		shortcuts_agree(exact + 14, (uint32_t)cut - 14, false);
		shortcuts_agree(exact + 14, (uint32_t)cut - 14, true);
		if (parse_ip(exact + 14, (uint32_t)cut - 14, false, &ip)) {
			cr_assert_leq(ip.total_bytes, cut - 14);
			cr_assert_leq(ip.l4_offset, ip.total_bytes);
		}
		free(exact);
	}
}

Test(parse, ether_and_vlan)
{
	struct ether_info e;
	size_t len = world_udp4(frame, "10.1.0.9", "10.2.0.5", 1, 2, 10);
	cr_assert(parse_ether(frame, (uint32_t)len, &e));
	cr_assert_eq(e.l3_offset, 14);
	cr_assert_eq(e.vlan, 0);
	lode_store_be16(frame + 12, 0x8100);
	lode_store_be16(frame + 14, 0xe005);
	lode_store_be16(frame + 16, 0x0800);
	cr_assert(parse_ether(frame, (uint32_t)len, &e));
	cr_assert_eq(e.l3_offset, 18);
	cr_assert_eq(e.vlan, 5);
	cr_assert(!parse_ether(frame, 17, &e));
	cr_assert(!parse_ether(frame, 13, &e));
}
