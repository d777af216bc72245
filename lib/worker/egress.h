/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets become frames: next hop's MAC address, L2 header, transmit queue. Inline what each packet goes through;
 * egress.c has the rest: neighbours that are not known yet, the host, datagrams of control. */
#pragma once

#include "worker.h"

/* The port is down, or its neighbour is not known yet: m waits for it, or is dropped. */
void wait_for_neighbour(struct lode_worker *w, unsigned port_idx, const struct lode_ip *next_hop,
	struct rte_mbuf *m, uint64_t now_ns);

/* What a lane releases at once, after a gap was filled, may be more than the queue holds. */
static inline bool tx_has_room(struct lode_worker *w, unsigned port_idx)
{
	if (lode_likely(lode_txq_room(&w->txqs[port_idx])))
		return true;
	if (w->params.flush)
		w->params.flush(w->params.ctx, port_idx);
	return lode_txq_room(&w->txqs[port_idx]);
}

static inline void put_frame(
	struct lode_worker *w, unsigned port_idx, const uint8_t dst_mac[6], struct rte_mbuf *m)
{
	const struct lode_port_view *port = &w->snapshot->ports[port_idx];
	struct lode_txq *q = &w->txqs[port_idx];
	uint16_t l2_bytes = lode_likely(!port->vlan) ? ETHER_BYTES : ETHER_BYTES + VLAN_BYTES;
	uint16_t ethertype = packet_data(m)[0] >> 4 == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
	trace_packet(w, m, "tx", NULL);
	if (!tx_has_room(w, port_idx)) {
		DROP(w, m, tx_full);
		return;
	}
	uint8_t *frame = lode_pkt_push(m, l2_bytes);
	if (!frame) {
		DROP(w, m, too_long);
		return;
	}
	memcpy(frame, dst_mac, 6);
	memcpy(frame + 6, port->mac, 6);
	if (lode_unlikely(port->vlan)) {
		lode_store_be16(frame + 12, ETHERTYPE_VLAN);
		lode_store_be16(frame + 14, port->vlan);
	}
	lode_store_be16(frame + l2_bytes - 2, ethertype);
	m->ol_flags = 0;
	q->mbufs[q->n++] = m;
}

/* Out on a port of the configuration to that next hop; waits for its MAC address when it must. */
static inline void to_port(struct lode_worker *w, unsigned port_idx, const struct lode_ip *next_hop,
	struct rte_mbuf *m, uint64_t now_ns)
{
	const struct lode_neighbour *neighbour =
		lode_neighbours_lookup(w->snapshot->neighbours, (uint8_t)port_idx, next_hop);
	if (lode_likely(neighbour && w->snapshot->ports[port_idx].up))
		put_frame(w, port_idx, neighbour->mac, m);
	else
		wait_for_neighbour(w, port_idx, next_hop, m, now_ns);
}
