/* SPDX-License-Identifier: BSD-3-Clause */
/* One fault of the kind that a broken gateway would make, between its LAN port and the hosts: the checks must
 * find each. */
#include "sim.h"

#include "lode_wire.h"

#define DELAY_NS (10 * LODE_NS_PER_S) /* beyond all limits of classes and links */

void lode_sim_sabotage(struct lode_sim *s, enum lode_sim_sabotage how)
{
	s->sabotage.how = how;
}

/* The flow of a UDP packet that is held to its class's promises; -1: of none. */
static int sure_flow(const struct lode_sim *s, const struct rte_mbuf *m)
{
	const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *) + ETHER_BYTES;
	size_t len = rte_pktmbuf_data_len(m);
	if (len < ETHER_BYTES + IPV4_BYTES + UDP_BYTES + 24 || ip[0] >> 4 != 4 || ip[9] != 17)
		return -1;
	unsigned flow = lode_load_be16(ip + IPV4_BYTES) - SRC_PORT;
	return flow < s->n_flows && s->flows[flow]->params.sure_class ? (int)flow : -1;
}

static void alter(struct rte_mbuf *m)
{
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_BYTES, *udp = ip + IPV4_BYTES;
	size_t udp_bytes = rte_pktmbuf_data_len(m) - ETHER_BYTES - IPV4_BYTES;
	udp[udp_bytes - 1] ^= 0x55;
	lode_store_be16(udp + 6, 0);
	uint16_t checksum_be = lode_wire_l4_checksum(ip, 17, udp, udp_bytes);
	memcpy(udp + 6, &checksum_be, 2);
}

static void remark_inner(struct rte_mbuf *m)
{
	uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *) + ETHER_BYTES;
	ip[1] ^= 4;
	uint16_t checksum_be = lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	memcpy(ip + 10, &checksum_be, sizeof(checksum_be));
}

static void deliver(struct site *site, struct rte_mbuf *m)
{
	if (m)
		lan_deliver(site, LAN_PORT, m);
}

/* What was kept comes behind the next of its flow, or when its time has come. */
static struct rte_mbuf *give_back(struct site *site, struct rte_mbuf *m)
{
	struct lode_sim *s = site->sim;
	bool due = s->sabotage.until_ns ? s->now_ns >= s->sabotage.until_ns
					: sure_flow(s, m) == (int)s->sabotage.flow;
	if (!due)
		return m;
	struct rte_mbuf *kept = s->sabotage.kept;
	s->sabotage.kept = NULL;
	deliver(site, m);
	return kept;
}

struct rte_mbuf *sabotage_frame(struct site *site, struct rte_mbuf *m)
{
	struct lode_sim *s = site->sim;
	if (lode_likely(!s->sabotage.kept && s->sabotage.how == LODE_SIM_SOUND))
		return m;
	if (s->sabotage.kept)
		return site->idx == s->sabotage.site ? give_back(site, m) : m;
	int flow = sure_flow(s, m);
	if (flow < 0)
		return m;
	enum lode_sim_sabotage how = s->sabotage.how;
	s->sabotage.how = LODE_SIM_SOUND;
	switch (how) {
	case LODE_SIM_ALTER:
		alter(m);
		return m;
	case LODE_SIM_REMARK:
		remark_inner(m);
		return m;
	case LODE_SIM_TWICE:
		deliver(site, rte_pktmbuf_copy(m, s->pool, 0, UINT32_MAX));
		return m;
	case LODE_SIM_ASTRAY:
		rte_pktmbuf_mtod(m, uint8_t *)[5] ^= 1;
		return m;
	case LODE_SIM_LOSE:
		site->tally.out[LAN_PORT]--; /* it never left */
		rte_pktmbuf_free(m);
		return NULL;
	case LODE_SIM_LEAK:
		if (!rte_pktmbuf_alloc(s->pool))
			s->sabotage.how = how;
		return m;
	default: /* swap, delay */
		s->sabotage.kept = m;
		s->sabotage.site = site->idx;
		s->sabotage.flow = (unsigned)flow;
		s->sabotage.until_ns = how == LODE_SIM_DELAY ? s->now_ns + DELAY_NS : 0;
		return NULL;
	}
}

void sabotage_flush(struct lode_sim *s)
{
	rte_pktmbuf_free(s->sabotage.kept);
	s->sabotage.kept = NULL;
}
