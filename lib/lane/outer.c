/* SPDX-License-Identifier: BSD-3-Clause */
/* Outer Ethernet, IP and UDP headers. They are written once per path and copied in front of each datagram;
 * per packet only lengths, TOS and checksums change. IPv4 goes without UDP checksum (RFC 768 allows it, the
 * AEAD's tag is stronger); IPv6 has one (RFC 8200 8.1), because middleboxes drop datagrams without. */
#include "outer.h"

#define TTL 64

static uint8_t *put_ethernet(uint8_t *b, const struct lode_path_view *path)
{
	memcpy(b, path->dst_mac, 6);
	memcpy(b + 6, path->src_mac, 6);
	b += 12;
	if (path->vlan != 0) {
		lode_store_be16(b, 0x8100);
		lode_store_be16(b + 2, path->vlan);
		b += 4;
	}
	lode_store_be16(b, lode_ip_is_v4(&path->remote) ? 0x0800 : 0x86dd);
	return b + 2;
}

static uint8_t *put_ipv4(uint8_t *b, const struct lode_path_view *path)
{
	memset(b, 0, IPV4_BYTES);
	b[0] = 0x45;
	b[6] = 0x40; /* don't fragment */
	b[8] = TTL;
	b[9] = IPPROTO_UDP;
	memcpy(b + 12, path->local.b + 12, 4);
	memcpy(b + 16, path->remote.b + 12, 4);
	return b + IPV4_BYTES;
}

static uint8_t *put_ipv6(uint8_t *b, const struct lode_path_view *path)
{
	memset(b, 0, 8);
	b[0] = 0x60;
	b[6] = IPPROTO_UDP;
	b[7] = TTL;
	memcpy(b + 8, path->local.b, 16);
	memcpy(b + 24, path->remote.b, 16);
	return b + IPV6_BYTES;
}

void outer_build(
	struct outer *o, const struct lode_path_view *path, unsigned worker_idx, unsigned lane_id)
{
	o->v6 = !lode_ip_is_v4(&path->remote);
	uint8_t *l3 = put_ethernet(o->bytes, path);
	uint8_t *udp = o->v6 ? put_ipv6(l3, path) : put_ipv4(l3, path);
	lode_store_be16(udp, (uint16_t)(path->local_port + worker_idx));
	lode_store_be16(udp + 2, path->remote_port[lane_id]);
	memset(udp + 4, 0, 4);
	o->l3_off = (uint8_t)(l3 - o->bytes);
	o->len = (uint8_t)(udp + UDP_BYTES - o->bytes);
	o->sum = 0;
	for (unsigned i = 0; !o->v6 && i < IPV4_BYTES; i += 2)
		o->sum += lode_load_be16(l3 + i);
}

void outer_finish_ipv6(uint8_t *l3, uint16_t udp_bytes, uint8_t tos)
{
	uint8_t *udp = l3 + IPV6_BYTES;
	l3[0] = (uint8_t)(0x60 | tos >> 4);
	l3[1] = (uint8_t)(tos << 4);
	lode_store_be16(l3 + 4, udp_bytes);
	uint16_t checksum = lode_wire_l4_checksum(l3, IPPROTO_UDP, udp, udp_bytes);
	if (checksum == 0)
		checksum = 0xffff;
	memcpy(udp + 6, &checksum, sizeof(checksum));
}
