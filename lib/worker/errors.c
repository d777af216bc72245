/* SPDX-License-Identifier: BSD-3-Clause */
/* What a router owes to hosts: ICMP errors, a lower TTL, and an MSS that fits. */
#include "worker.h"

#define ICMP_GAP_NS   (10 * LODE_NS_PER_MS)  /* on average; */
#define ICMP_BURST_NS (500 * LODE_NS_PER_MS) /* 50 at once */

/* The box's address of that family on the port, else on any port; NULL: none. */
static const struct lode_ip *own_address(const struct lode_config *c, unsigned port_idx, bool v4)
{
	for (unsigned k = 0; k <= c->n_ports; k++) {
		unsigned i = k == 0 ? port_idx : k - 1;
		if (i >= c->n_ports || c->ports[i].role != LODE_PORT_LAN)
			continue;
		for (unsigned a = 0; a < c->ports[i].n_addrs; a++)
			if (lode_ip_is_v4(&c->ports[i].addrs[a].ip) == v4)
				return &c->ports[i].addrs[a].ip;
	}
	return NULL;
}

/* RFC 1812 4.3.2.8, RFC 4443 2.4 f: a token bucket kept as the time at which it is full again. */
static bool icmp_allowed(struct lode_worker *w, uint64_t now_ns)
{
	uint64_t full_ns = LODE_MAX(w->icmp_ns, now_ns);
	if (full_ns - now_ns > ICMP_BURST_NS)
		return false;
	w->icmp_ns = full_ns + ICMP_GAP_NS;
	return true;
}

void answer_icmp(struct lode_worker *w, enum lode_wire_icmp kind, uint16_t mtu_bytes,
	struct rte_mbuf *m, const struct ip_info *ip, uint64_t now_ns)
{
	const struct lode_ip *src =
		own_address(w->snapshot->config, lode_pkt(m)->rx_port, ip->version == 4);
	if (!src || w->n_own == OWN_MAX || !icmp_allowed(w, now_ns))
		return;
	struct rte_mbuf *answer = rte_pktmbuf_alloc(w->params.pool);
	if (!answer)
		return;
	memset(lode_pkt(answer), 0, sizeof(struct lode_pkt));
	lode_pkt(answer)->rx_port = lode_pkt(m)->rx_port;
	lode_pkt(answer)->hop_limit = HOP_LIMIT;
	size_t len = lode_wire_icmp_error(kind, mtu_bytes, src, packet_data(m),
		rte_pktmbuf_data_len(m), packet_data(answer), rte_pktmbuf_tailroom(answer));
	if (len == 0) {
		rte_pktmbuf_free(answer);
		return;
	}
	rte_pktmbuf_append(answer, (uint16_t)len);
	w->own[w->n_own++] = answer;
	lode_counter_add(&w->counters.icmp_sent, 1);
}

void clamp_mss_of_syn(
	struct lode_worker *w, unsigned peer_idx, struct rte_mbuf *m, const struct ip_info *ip)
{
	if (!lane_of(w, peer_idx))
		return;
	uint16_t segment_bytes = lode_lane_segment_bytes(lane_of(w, peer_idx));
	if (segment_bytes == 0)
		segment_bytes = lode_wire_mtu_segment(LODE_WIRE_MTU_BASE, false);
	uint16_t mtu = lode_wire_mtu_inner(segment_bytes, ip->version == 6);
	uint16_t mss = lode_wire_mtu_mss(mtu, ip->version == 6);
	if (lode_wire_mtu_clamp_mss(
		    packet_data(m) + ip->l4_offset, ip->total_bytes - ip->l4_offset, mss))
		lode_counter_add(&w->counters.mss_clamped, 1);
}
