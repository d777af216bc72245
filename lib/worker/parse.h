/* SPDX-License-Identifier: BSD-3-Clause */
/* parse: reads hostile Ethernet, 802.1Q, IPv4, IPv6, TCP, UDP and ICMP headers from plain bytes. Every
 * length is checked before it is used; nothing is kept. */
#pragma once

#include "lode_config.h"
#include "lode_wire.h"

#define ETHER_BYTES    14
#define VLAN_BYTES     4
#define IPV4_BYTES     20
#define IPV6_BYTES     40
#define UDP_BYTES      8
#define TCP_BYTES      20
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define PROTO_ICMP     1
#define PROTO_TCP      6
#define PROTO_UDP      17
#define PROTO_ICMPV6   58
#define TCP_FIN	       1
#define TCP_SYN	       2
#define TCP_RST	       4
#define MAX_EXTENSIONS 8 /* IPv6 headers walked before giving up on the ports */

struct ether_info {
	uint16_t l3_offset, ethertype;
	uint16_t vlan; /* 0: untagged */
};

/* False: shorter than its headers. */
bool parse_ether(const uint8_t *frame, uint32_t len, struct ether_info *out);

/* The 5-tuple, laid out as the flow table's key. */
struct five_tuple {
	struct lode_ip src, dst;
	uint16_t sport_be, dport_be; /* 0 without ports: not first fragments, other protocols */
	uint8_t protocol;
	uint8_t zero[3];
};
static_assert(sizeof(struct five_tuple) == 40, "no hidden padding in a hash key");

struct ip_info {
	struct five_tuple tuple;
	uint16_t total_bytes; /* of the packet, by its own header; never above len */
	uint16_t l4_offset;
	uint8_t version, dscp, ecn, ttl;
	bool dont_fragment; /* always true for IPv6 */
	bool has_l4;	    /* tuple has ports, and the L4 header is there in full */
	bool fragment;	    /* not the first one of a packet */
	uint8_t tcp_flags;
};

/* Any packet. False: malformed (also a wrong IPv4 header checksum when check is set). */
bool parse_ip_any(const uint8_t *packet, uint32_t len, bool check_checksum, struct ip_info *out);

/* Nearly every packet: no options, not a fragment, a whole UDP or TCP header at least. Its lengths are right
 * then, its checksum has not been looked at. Returns the bytes of that header; 0: look closer. */
static inline unsigned plain_v4(const uint8_t *p, uint32_t len)
{
	/* Of the first 8 bytes: version and header length, offset of the fragment and whether more follow. */
	static const uint64_t mask = 0xff3f0000000000ffull;
	if (len < IPV4_BYTES || (lode_load_le64(p) & mask) != 0x45)
		return 0;
	unsigned l4_bytes = p[9] == PROTO_TCP ? TCP_BYTES : p[9] == PROTO_UDP ? UDP_BYTES : 0;
	uint16_t total = lode_load_be16(p + 2);
	return total <= len && total >= IPV4_BYTES + l4_bytes ? l4_bytes : 0;
}
static inline bool is_checksum_right(const uint8_t *p)
{
	return lode_wire_ipv4_checksum(p, IPV4_BYTES) == lode_load_le16(p + 10);
}

static inline void put_v4(struct lode_ip *ip, uint32_t addr_be)
{
	lode_store_le64(ip->b, 0);
	lode_store_le64(ip->b + 8, (uint64_t)addr_be << 32 | 0xffff0000u);
}

/* The same as parse_ip_any, sooner. Field by field: a struct literal would be built elsewhere and copied. */
static inline bool parse_ip(
	const uint8_t *p, uint32_t len, bool check_checksum, struct ip_info *out)
{
	unsigned l4_bytes = plain_v4(p, len);
	if (lode_unlikely(l4_bytes == 0))
		return parse_ip_any(p, len, check_checksum, out);
	if (check_checksum && !is_checksum_right(p))
		return false;
	put_v4(&out->tuple.src, lode_load_le32(p + 12));
	put_v4(&out->tuple.dst, lode_load_le32(p + 16));
	/* Ports, protocol and zeros: written as they are hashed. */
	lode_store_le64((uint8_t *)&out->tuple + offsetof(struct five_tuple, sport_be),
		lode_load_le32(p + IPV4_BYTES) | (uint64_t)p[9] << 32);
	out->total_bytes = lode_load_be16(p + 2);
	out->l4_offset = IPV4_BYTES;
	out->version = 4;
	out->dscp = p[1] >> 2;
	out->ecn = p[1] & 3;
	out->ttl = p[8];
	out->dont_fragment = p[6] & 0x40;
	out->has_l4 = true;
	out->fragment = false;
	out->tcp_flags = l4_bytes == TCP_BYTES ? p[IPV4_BYTES + 13] : 0;
	return true;
}

/* What counts of a datagram on the WAN. */
struct udp_info {
	uint16_t total_bytes; /* of the packet; never above len */
	uint16_t l4_offset;
	uint16_t port_be; /* it came for; 0: not a datagram, or not the first part of one */
	uint8_t ecn;
};
static inline bool parse_udp(
	const uint8_t *p, uint32_t len, bool check_checksum, struct udp_info *out)
{
	if (lode_likely(plain_v4(p, len) == UDP_BYTES)) {
		*out = (struct udp_info){.total_bytes = lode_load_be16(p + 2),
			.l4_offset = IPV4_BYTES,
			.port_be = lode_load_le16(p + IPV4_BYTES + 2),
			.ecn = p[1] & 3};
		return !check_checksum || is_checksum_right(p);
	}
	struct ip_info ip;
	if (!parse_ip_any(p, len, check_checksum, &ip))
		return false;
	bool udp = ip.tuple.protocol == PROTO_UDP && ip.has_l4;
	*out = (struct udp_info){.total_bytes = ip.total_bytes,
		.l4_offset = ip.l4_offset,
		.port_be = udp ? ip.tuple.dport_be : 0,
		.ecn = ip.ecn};
	return true;
}
