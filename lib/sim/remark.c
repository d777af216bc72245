/* SPDX-License-Identifier: BSD-3-Clause */
/* A router on the way that marks congestion (RFC 3168), forgets such marks, or has its own idea of DSCPs. */
#include "sim.h"

#include "lode_wire.h"

#define ECN_MASK 3
#define ECN_CE	 3

void remark(struct cable *cable, struct rte_mbuf *m)
{
	const struct lode_sim_remark *r = &cable->remark;
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_BYTES;
	if (lode_likely(!r->active) || rte_pktmbuf_data_len(m) < ETHER_BYTES + IPV4_BYTES)
		return;
	unsigned dscp = r->dscp >= 0 ? (unsigned)r->dscp : ip[1] >> 2;
	unsigned ecn = r->bleach ? 0 : ip[1] & ECN_MASK;
	if ((ecn || r->mark_all) && lode_rng_unit(&cable->remark_rng) < r->ce_share)
		ecn = ECN_CE;
	ip[1] = (uint8_t)(dscp << 2 | ecn);
	uint16_t checksum_be = lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	memcpy(ip + 10, &checksum_be, sizeof(checksum_be));
}

void lode_sim_set_remark(
	struct lode_sim *s, unsigned site, unsigned wan_port, const struct lode_sim_remark *remark)
{
	s->sites[site].cables[wan_port].remark = *remark;
}
