/* SPDX-License-Identifier: BSD-3-Clause */
/* parse: reads hostile Ethernet, 802.1Q, IPv4, IPv6, TCP, UDP and ICMP headers from plain bytes. Every
 * length is checked before it is used; nothing is kept. */
#pragma once

#include "lode_config.h"

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

/* False: malformed (also a wrong IPv4 header checksum when check is set). */
bool parse_ip(const uint8_t *packet, uint32_t len, bool check_checksum, struct ip_info *out);
