/* SPDX-License-Identifier: BSD-3-Clause */
/* The carrier's NAT: the sites behind it share an address and a pool of ports that is soon used up. A mapping
 * belongs to one inside endpoint and one outside endpoint, and is forgotten when nothing went out on it for
 * long (RFC 4787: address- and port-dependent mapping and filtering, which is the worst there is). */
#include "sim.h"

#include "lode_wire.h"

#define FIRST_PORT 30000

static bool is_udp(const struct rte_mbuf *m)
{
	return rte_pktmbuf_data_len(m) >= ETHER_BYTES + IPV4_BYTES + UDP_BYTES;
}

/* The live mapping, or -1. */
static int find(const struct cgnat *nat, const struct site *site, const uint8_t *ip)
{
	for (unsigned i = 0; i < CGNAT_PORTS; i++)
		if (nat->ports[i].until_ns > site->sim->now_ns && nat->ports[i].site == site->idx &&
			nat->ports[i].inside_port == lode_load_be16(ip + IPV4_BYTES) &&
			nat->ports[i].remote == lode_load_be32(ip + 16) &&
			nat->ports[i].remote_port == lode_load_be16(ip + IPV4_BYTES + 2))
			return (int)i;
	return -1;
}

/* A free port, at random as RFC 6056 asks for; -1: none. */
static int allocate(struct cgnat *nat, const struct site *site, const uint8_t *ip)
{
	unsigned at = (unsigned)lode_rng_below(&nat->rng, CGNAT_PORTS);
	for (unsigned k = 0; k < CGNAT_PORTS; k++) {
		unsigned i = (at + k) % CGNAT_PORTS;
		if (nat->ports[i].until_ns > site->sim->now_ns)
			continue;
		nat->ports[i].site = (uint8_t)site->idx;
		nat->ports[i].inside_port = lode_load_be16(ip + IPV4_BYTES);
		nat->ports[i].remote = lode_load_be32(ip + 16);
		nat->ports[i].remote_port = lode_load_be16(ip + IPV4_BYTES + 2);
		return (int)i;
	}
	return -1;
}

bool cgnat_out(struct site *site, unsigned wan_port, struct rte_mbuf *m)
{
	struct cgnat *nat = &site->sim->cgnats[wan_port];
	const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *) + ETHER_BYTES;
	if (!is_udp(m))
		return false;
	int i = find(nat, site, ip);
	i = i < 0 ? allocate(nat, site, ip) : i;
	if (i < 0)
		return false;
	nat->ports[i].until_ns = site->sim->now_ns + site->cables[wan_port].cgnat_expire_ns;
	nat_rewrite(m, true, CGNAT_HOST, (uint16_t)(FIRST_PORT + i));
	return true;
}

int cgnat_in(struct lode_sim *s, unsigned wan_port, struct rte_mbuf *m)
{
	struct cgnat *nat = &s->cgnats[wan_port];
	const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *) + ETHER_BYTES;
	unsigned i = lode_load_be16(ip + IPV4_BYTES + 2) - (unsigned)FIRST_PORT;
	if (i >= CGNAT_PORTS || nat->ports[i].until_ns <= s->now_ns ||
		nat->ports[i].remote != lode_load_be32(ip + 12) ||
		nat->ports[i].remote_port != lode_load_be16(ip + IPV4_BYTES))
		return -1;
	nat_rewrite(m, false, (uint8_t)(nat->ports[i].site + 1), nat->ports[i].inside_port);
	port_mac(nat->ports[i].site, WAN_PORT(wan_port), rte_pktmbuf_mtod(m, uint8_t *));
	return nat->ports[i].site;
}

void lode_sim_set_cgnat(struct lode_sim *s, unsigned site, unsigned wan_port, uint64_t expire_ns)
{
	struct cgnat *nat = &s->cgnats[wan_port];
	s->sites[site].cables[wan_port].cgnat_expire_ns = expire_ns;
	s->sites[site].cables[wan_port].nat_binding = 0;
	for (unsigned i = 0; i < CGNAT_PORTS; i++)
		if (nat->ports[i].site == site)
			nat->ports[i].until_ns = 0;
}
