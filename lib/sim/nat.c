/* SPDX-License-Identifier: BSD-3-Clause */
/* A router in front of a WAN port: another address and other ports outside, as long as a binding lasts. */
#include "sim.h"

#include "lode_wire.h"

#define ETHER_BYTES 14
#define IPV4_BYTES  20
#define HEADERS	    (ETHER_BYTES + IPV4_BYTES + 8)
#define NAT_PORTS   1000 /* ports move by this for each binding */

static void rewrite(uint8_t *ip, size_t addr_off, size_t port_off, int addr_change, int port_change)
{
	uint8_t *udp = ip + IPV4_BYTES;
	ip[addr_off + 3] = (uint8_t)(ip[addr_off + 3] + addr_change);
	lode_store_be16(udp + port_off, (uint16_t)(lode_load_be16(udp + port_off) + port_change));
	uint16_t checksum_be = lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	memcpy(ip + 10, &checksum_be, 2);
	lode_store_be16(udp + 6, 0); /* none (RFC 768) */
}

void nat_out(const struct cable *cable, struct rte_mbuf *m)
{
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_BYTES;
	if (cable->nat_binding && rte_pktmbuf_data_len(m) >= HEADERS)
		rewrite(ip, 12, 0, NAT_OFFSET, (int)cable->nat_binding * NAT_PORTS);
}

bool nat_in(const struct cable *cable, unsigned udp_port, unsigned n_workers, struct rte_mbuf *m)
{
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_BYTES;
	if (rte_pktmbuf_data_len(m) < HEADERS)
		return true;
	bool outside = ip[19] >= NAT_OFFSET;
	if (!cable->nat_binding)
		return !outside;
	int change = (int)cable->nat_binding * NAT_PORTS;
	unsigned inside = lode_load_be16(ip + IPV4_BYTES + 2) - (unsigned)change - udp_port;
	if (!outside || inside >= n_workers)
		return false;
	rewrite(ip, 16, 2, -NAT_OFFSET, -change);
	return true;
}

void lode_sim_set_nat(struct lode_sim *s, unsigned site, unsigned wan_port, unsigned binding)
{
	s->sites[site].cables[wan_port].nat_binding = binding;
}
