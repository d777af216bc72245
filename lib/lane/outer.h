/* SPDX-License-Identifier: BSD-3-Clause */
/* Outer headers in front of a datagram, inline: each has them. outer.c makes the templates. */
#pragma once

#include "lode_lane.h"

#define IPV4_BYTES	20
#define IPV6_BYTES	40
#define UDP_BYTES	8

#define OUTER_BYTES_MAX (18 + 40 + 8) /* Ethernet with 802.1Q, IPv6, UDP */

/* Outer headers of one path, ready but for lengths, DSCP and checksums (outer.c). */
struct outer {
	uint8_t bytes[OUTER_BYTES_MAX];
	uint8_t len, l3_off;
	bool v6;
	uint64_t sum; /* of the IPv4 header without what changes */
};

void outer_build(
	struct outer *o, const struct lode_path_view *path, unsigned worker_idx, unsigned lane_id);
/* Lengths, TOS and the UDP checksum over the whole datagram. */
void outer_finish_ipv6(uint8_t *l3, uint16_t udp_bytes, uint8_t tos);

static inline void outer_finish_ipv4(
	const struct outer *o, uint8_t *l3, uint16_t udp_bytes, uint8_t tos)
{
	uint16_t total = (uint16_t)(IPV4_BYTES + udp_bytes);
	uint64_t sum = o->sum + tos + total;
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	l3[1] = tos;
	lode_store_be16(l3 + 2, total);
	lode_store_be16(l3 + 10, (uint16_t)~sum);
}

/* memcpy of a length that is known only now is a call; what overlaps is written twice. */
static inline void outer_copy(uint8_t *b, const struct outer *o)
{
	unsigned tail = o->len - 16u;
	memcpy(b, o->bytes, 16);
	memcpy(b + 16, o->bytes + 16, 16);
	if (o->v6)
		memcpy(b + 32, o->bytes + 32, 16);
	memcpy(b + tail, o->bytes + tail, 16);
}

/* Puts the headers in front of a sealed datagram. -ENOSPC: no headroom. */
static inline int outer_push(const struct outer *o, struct rte_mbuf *m, uint8_t tos)
{
	uint16_t udp_bytes = (uint16_t)(UDP_BYTES + m->data_len);
	uint8_t *b = lode_pkt_push(m, o->len);
	if (lode_unlikely(b == NULL))
		return -ENOSPC;
	outer_copy(b, o);
	uint8_t *l3 = b + o->l3_off;
	lode_store_be16(b + o->len - 4, udp_bytes);
	if (o->v6)
		outer_finish_ipv6(l3, udp_bytes, tos);
	else
		outer_finish_ipv4(o, l3, udp_bytes, tos);
	return 0;
}
