/* SPDX-License-Identifier: BSD-3-Clause */
#include "parse.h"

bool parse_ether(const uint8_t *frame, uint32_t len, struct ether_info *out)
{
	if (len < ETHER_BYTES)
		return false;
	*out = (struct ether_info){
		.l3_offset = ETHER_BYTES, .ethertype = lode_load_be16(frame + 12)};
	if (out->ethertype != ETHERTYPE_VLAN)
		return true;
	if (len < ETHER_BYTES + VLAN_BYTES)
		return false;
	out->vlan = lode_load_be16(frame + 14) & 0xfff;
	out->ethertype = lode_load_be16(frame + 16);
	out->l3_offset += VLAN_BYTES;
	return true;
}

/* Ports and flags, if the L4 header is whole. A short one is forwarded without ports: the far host judges. */
static void parse_l4(const uint8_t *packet, struct ip_info *ip)
{
	uint32_t need;
	switch (ip->tuple.protocol) {
	case PROTO_TCP:
		need = TCP_BYTES;
		break;
	case PROTO_UDP:
		need = UDP_BYTES;
		break;
	default:
		return;
	}
	if (ip->fragment || ip->total_bytes < ip->l4_offset + need)
		return;
	const uint8_t *l4 = packet + ip->l4_offset;
	memcpy(&ip->tuple.sport_be, l4, 2);
	memcpy(&ip->tuple.dport_be, l4 + 2, 2);
	ip->has_l4 = true;
	if (ip->tuple.protocol == PROTO_TCP)
		ip->tcp_flags = l4[13];
}

static bool parse_v4(const uint8_t *p, uint32_t len, bool check_checksum, struct ip_info *ip)
{
	if (len < IPV4_BYTES)
		return false;
	uint32_t header_bytes = (p[0] & 0xfu) * 4;
	uint16_t total = lode_load_be16(p + 2);
	if (header_bytes < IPV4_BYTES || header_bytes > total || total > len)
		return false;
	uint16_t checksum_be;
	memcpy(&checksum_be, p + 10, sizeof(checksum_be));
	if (check_checksum && lode_wire_ipv4_checksum(p, header_bytes) != checksum_be)
		return false;
	uint16_t fragment_word = lode_load_be16(p + 6);
	ip->version = 4;
	ip->dscp = p[1] >> 2;
	ip->ecn = p[1] & 3;
	ip->ttl = p[8];
	ip->total_bytes = total;
	ip->l4_offset = (uint16_t)header_bytes;
	ip->dont_fragment = fragment_word & 0x4000;
	ip->fragment = fragment_word & 0x1fff;
	ip->tuple.protocol = p[9];
	uint32_t addr_be;
	memcpy(&addr_be, p + 12, 4);
	ip->tuple.src = lode_ip_from_v4_be(addr_be);
	memcpy(&addr_be, p + 16, 4);
	ip->tuple.dst = lode_ip_from_v4_be(addr_be);
	return true;
}

/* Walks extension headers (RFC 8200 4) up to the transport; false when one leaves the packet. */
static bool skip_extensions(const uint8_t *p, struct ip_info *ip)
{
	uint8_t next = p[6];
	uint32_t offset = IPV6_BYTES;
	for (unsigned i = 0; i < MAX_EXTENSIONS; i++) {
		bool is_fragment = next == 44;
		if (next != 0 && next != 43 && next != 60 && !is_fragment)
			break;
		if (offset + 8 > ip->total_bytes)
			return false;
		if (is_fragment && lode_load_be16(p + offset + 2) & 0xfff8)
			ip->fragment = true;
		next = p[offset];
		offset += is_fragment ? 8 : (p[offset + 1] + 1u) * 8;
		if (offset > ip->total_bytes)
			return false;
		if (ip->fragment)
			break;
	}
	ip->tuple.protocol = next;
	ip->l4_offset = (uint16_t)offset;
	return true;
}

static bool parse_v6(const uint8_t *p, uint32_t len, struct ip_info *ip)
{
	if (len < IPV6_BYTES)
		return false;
	uint32_t total = IPV6_BYTES + lode_load_be16(p + 4);
	if (total > len || total > UINT16_MAX)
		return false;
	uint8_t traffic_class = (uint8_t)(lode_load_be16(p) >> 4);
	ip->version = 6;
	ip->dscp = traffic_class >> 2;
	ip->ecn = traffic_class & 3;
	ip->ttl = p[7];
	ip->total_bytes = (uint16_t)total;
	ip->dont_fragment = true;
	memcpy(ip->tuple.src.b, p + 8, 16);
	memcpy(ip->tuple.dst.b, p + 24, 16);
	return skip_extensions(p, ip);
}

bool parse_ip_any(const uint8_t *packet, uint32_t len, bool check_checksum, struct ip_info *out)
{
	memset(out, 0, sizeof(*out));
	if (len == 0)
		return false;
	bool ok = packet[0] >> 4 == 4	? parse_v4(packet, len, check_checksum, out)
		  : packet[0] >> 4 == 6 ? parse_v6(packet, len, out)
					: false;
	if (ok)
		parse_l4(packet, out);
	return ok;
}
