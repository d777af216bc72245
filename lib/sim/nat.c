/* SPDX-License-Identifier: BSD-3-Clause */
/* A router in front of a WAN port: another address and other ports outside, as long as a binding lasts. */
#include "sim.h"

#include "lode_wire.h"

#define HEADERS	  (ETHER_BYTES + IPV4_BYTES + UDP_BYTES)
#define NAT_PORTS 1000 /* ports move by this for each binding */

void nat_rewrite(struct rte_mbuf *m, bool source, uint8_t last_byte, uint16_t port)
{
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_BYTES, *udp = ip + IPV4_BYTES;
	ip[source ? 15 : 19] = last_byte;
	lode_store_be16(udp + (source ? 0 : 2), port);
	uint16_t checksum_be = lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	memcpy(ip + 10, &checksum_be, 2);
	lode_store_be16(udp + 6, 0); /* none (RFC 768) */
}

void nat_out(const struct cable *cable, struct rte_mbuf *m)
{
	const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *) + ETHER_BYTES;
	if (!cable->nat_binding || rte_pktmbuf_data_len(m) < HEADERS)
		return;
	unsigned port = lode_load_be16(ip + IPV4_BYTES) + cable->nat_binding * NAT_PORTS;
	nat_rewrite(m, true, (uint8_t)(ip[15] + NAT_OFFSET), (uint16_t)port);
}

bool nat_in(const struct cable *cable, unsigned udp_port, unsigned n_workers, struct rte_mbuf *m)
{
	const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *) + ETHER_BYTES;
	if (rte_pktmbuf_data_len(m) < HEADERS)
		return true;
	bool outside = ip[19] >= NAT_OFFSET;
	if (!cable->nat_binding)
		return !outside;
	unsigned port = lode_load_be16(ip + IPV4_BYTES + 2) - cable->nat_binding * NAT_PORTS;
	if (!outside || port - udp_port >= n_workers)
		return false;
	nat_rewrite(m, false, (uint8_t)(ip[19] - NAT_OFFSET), (uint16_t)port);
	return true;
}

void lode_sim_set_nat(struct lode_sim *s, unsigned site, unsigned wan_port, unsigned binding)
{
	s->sites[site].cables[wan_port].nat_binding = binding;
	s->sites[site].cables[wan_port].cgnat_expire_ns = 0;
}
