/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames become packets. Whatever is not a packet to forward or a datagram of a session ends here. */
#include "worker.h"

/* What a burst of frames has in common. */
struct entry {
	struct lode_worker *w;
	unsigned port_idx;
	uint64_t mac; /* of the port, if frames on it are untagged; else one that no frame has */
};

/* What datagrams have in common whose clear headers differ in the number alone: nearly always the whole burst. */
struct kin {
	uint64_t front; /* what comes before the number, as stored; UINT64_MAX: none yet */
	uint8_t peer_idx, epoch, path, lane_id;
	uint8_t owner; /* worker of the lane */
};

#define MAC_MASK 0xffffffffffffull

static struct entry begin(struct lode_worker *w, unsigned port_idx)
{
	struct entry e = {.w = w, .port_idx = port_idx, .mac = UINT64_MAX};
	if (!w->snapshot)
		return e;
	const struct lode_port_view *port = &w->snapshot->ports[port_idx];
	if (!port->vlan && !(port->mac[0] & 1))
		e.mac = lode_load_le32(port->mac) | (uint64_t)lode_load_le16(port->mac + 4) << 32;
	return e;
}

static struct rte_mbuf *linearise(struct lode_worker *w, struct rte_mbuf *m)
{
	if (!w->snapshot) {
		DROP(w, m, port_down);
		return NULL;
	}
	if (rte_pktmbuf_linearize(m) != 0) {
		DROP(w, m, too_long);
		return NULL;
	}
	lode_counter_add(&w->counters.linearised, 1);
	return m;
}

/* One segment, metadata cleared. NULL: gone. */
static inline struct rte_mbuf *take_frame(const struct entry *e, struct rte_mbuf *m)
{
	memset(lode_pkt(m), 0, sizeof(struct lode_pkt));
	lode_pkt(m)->rx_port = (uint8_t)e->port_idx;
	if (lode_likely(m->nb_segs == 1 && e->w->snapshot))
		return m;
	return linearise(e->w, m);
}

/* Untagged, to our address, IP: nearly every frame. */
static inline bool is_plain_frame(const struct entry *e, struct rte_mbuf *m)
{
	const uint8_t *frame = packet_data(m);
	if (m->data_len < ETHER_BYTES || (lode_load_le64(frame) & MAC_MASK) != e->mac)
		return false;
	uint16_t ethertype = lode_load_be16(frame + 12);
	return ethertype == ETHERTYPE_IPV4 || ethertype == ETHERTYPE_IPV6;
}

/* Strips the Ethernet header of an IP frame for us. NULL: not that, and gone. */
static struct rte_mbuf *take_any_ether(struct lode_worker *w, unsigned port_idx, struct rte_mbuf *m)
{
	static const uint8_t any_mac[6];
	const struct lode_port_view *port = &w->snapshot->ports[port_idx];
	struct ether_info ether;
	const uint8_t *frame = packet_data(m);
	if (!parse_ether(frame, rte_pktmbuf_data_len(m), &ether)) {
		DROP(w, m, malformed);
		return NULL;
	}
	if (ether.vlan != port->vlan) {
		DROP(w, m, vlan);
		return NULL;
	}
	bool multicast = frame[0] & 1;
	if (!multicast && memcmp(frame, port->mac, 6) && memcmp(port->mac, any_mac, 6)) {
		DROP(w, m, not_ours);
		return NULL;
	}
	if (multicast || (ether.ethertype != ETHERTYPE_IPV4 && ether.ethertype != ETHERTYPE_IPV6)) {
		to_mirror(w, m);
		return NULL;
	}
	area(m)->l2_bytes = (uint8_t)ether.l3_offset;
	lode_pkt_pull(m, ether.l3_offset);
	return m;
}

static inline struct rte_mbuf *take_ether(const struct entry *e, struct rte_mbuf *m)
{
	if (lode_unlikely(!is_plain_frame(e, m)))
		return take_any_ether(e->w, e->port_idx, m);
	area(m)->l2_bytes = ETHER_BYTES;
	lode_pkt_pull(m, ETHER_BYTES);
	return m;
}

/* Multicast, limited broadcast, link-local: never leaves the link. */
static inline bool is_link_scope(const struct lode_ip *ip, bool v4)
{
	if (v4)
		return ip->b[12] >= 224 || (ip->b[12] == 169 && ip->b[13] == 254);
	return ip->b[0] == 0xff || (ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80);
}

/* Addresses that no sender has. */
static inline bool is_bad_source(const struct lode_ip *ip, bool v4)
{
	static const struct lode_ip loopback6 = {.b = {[15] = 1}};
	if (v4)
		return ip->b[12] >= 224 || ip->b[12] == 127 || ip->b[12] == 0;
	return ip->b[0] == 0xff || lode_ip_is_none(ip) || !memcmp(ip, &loopback6, sizeof(*ip));
}

static inline bool is_unchecked(const struct rte_mbuf *m)
{
	return (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) != RTE_MBUF_F_RX_IP_CKSUM_GOOD;
}

/* NULL: the frame was not a packet to forward, and is gone. */
static inline struct rte_mbuf *take_lan_frame(
	const struct entry *e, struct rte_mbuf *m, struct ip_info *ip)
{
	struct lode_worker *w = e->w;
	bool from_host = e->port_idx == LODE_HOST_PORT;
	m = take_frame(e, m);
	if (m && !from_host)
		m = take_ether(e, m);
	if (!m)
		return NULL;
	if (!parse_ip(packet_data(m), m->data_len, is_unchecked(m), ip)) {
		DROP(w, m, malformed);
		return NULL;
	}
	lode_pkt_trim(m, m->data_len - ip->total_bytes); /* Ethernet's padding */
	if (is_link_scope(&ip->tuple.dst, ip->version == 4 || lode_ip_is_v4(&ip->tuple.dst))) {
		if (from_host)
			DROP(w, m, no_route);
		else
			to_mirror(w, m);
		return NULL;
	}
	if (is_bad_source(&ip->tuple.src, ip->version == 4 || lode_ip_is_v4(&ip->tuple.src))) {
		DROP(w, m, spoofed);
		return NULL;
	}
	lode_pkt(m)->hop_limit = HOP_LIMIT;
	return m;
}

void take_lan_frames(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs, unsigned n,
	struct packets *p)
{
	const struct entry e = begin(w, port_idx);
	uint64_t bytes = 0;
	unsigned n_pkts = 0;
	for (unsigned i = 0; i < n; i++) {
		struct ip_info *ip = &p->ip[n_pkts];
		bytes += mbufs[i]->pkt_len;
		struct rte_mbuf *m = take_lan_frame(&e, mbufs[i], ip);
		if (!m)
			continue;
		if (trace_wanted(w))
			trace_frame(w, m, ip);
		p->pkts[n_pkts++] = m;
	}
	p->n = n_pkts;
	lode_counter_add(&w->counters.lan_rx, n);
	lode_counter_add(&w->counters.lan_rx_bytes, bytes);
}

/* ---- WAN ---- */

/* m: data at the IP header, the UDP header in full. */
static void to_control(struct lode_worker *w, struct rte_mbuf *m, uint64_t now_ns)
{
	struct lode_datagram d;
	struct ip_info ip;
	const uint8_t *packet = packet_data(m);
	if (!parse_ip(packet, m->data_len, false, &ip)) {
		DROP(w, m, outer_malformed);
		return;
	}
	const uint8_t *udp = packet + ip.l4_offset;
	d.rx_ns = now_ns;
	d.local = ip.tuple.dst;
	d.remote = ip.tuple.src;
	d.next_hop = (struct lode_ip){0};
	d.local_port = __builtin_bswap16(ip.tuple.dport_be);
	d.remote_port = __builtin_bswap16(ip.tuple.sport_be);
	d.port_idx = lode_pkt(m)->rx_port;
	d.len = lode_load_be16(udp + 4) - UDP_BYTES;
	if (d.len > sizeof(d.data)) {
		DROP(w, m, outer_malformed);
		return;
	}
	memcpy(d.data, udp + UDP_BYTES, d.len);
	if (!lode_ring_push(w->rings.to_control, &d)) {
		DROP(w, m, control_full);
		return;
	}
	lode_counter_add(&w->counters.control_rx, 1);
	rte_pktmbuf_free(m);
}

static inline bool is_handshake(unsigned type)
{
	return type == LODE_WIRE_HANDSHAKE_INIT || type == LODE_WIRE_HANDSHAKE_RESPONSE ||
	       type == LODE_WIRE_COOKIE;
}

/* Finds peer, epoch, path and lane of a datagram by its clear header. False: not of a session, and gone. */
static bool find_kin(
	struct lode_worker *w, struct rte_mbuf *m, const uint8_t *header, struct kin *k)
{
	struct lode_wire_clear clear;
	lode_wire_get_clear(header, &clear);
	const struct lode_session_slot *slot = lode_snapshot_session(w->snapshot, clear.session);
	if (clear.session == 0 || !slot) {
		DROP(w, m, unknown_session);
		return false;
	}
	const struct lode_peer_view *view = w->snapshot->peers[slot->peer_idx];
	if (!view->paths[clear.path].valid || clear.lane >= view->n_lanes) {
		DROP(w, m, unknown_path);
		return false;
	}
	*k = (struct kin){.front = lode_load_le32(header),
		.peer_idx = slot->peer_idx,
		.epoch = slot->epoch,
		.path = clear.path,
		.lane_id = clear.lane,
		.owner = view->lane_owner[clear.lane]};
	return true;
}

/* Data at the clear header. NULL: not for a lane of this worker, and gone. */
static inline struct rte_mbuf *take_session(
	struct lode_worker *w, struct rte_mbuf *m, struct kin *k)
{
	const uint8_t *header = packet_data(m);
	if (lode_load_le32(header) != k->front && !find_kin(w, m, header, k))
		return NULL;
	struct lode_pkt *pkt = lode_pkt(m);
	pkt->epoch = k->epoch;
	pkt->path = k->path;
	pkt->lane_id = k->lane_id;
	area(m)->peer_idx = k->peer_idx;
	if (lode_likely(k->owner == w->params.worker_idx))
		return m;
	to_worker(w, k->owner, m, HANDOFF_WAN);
	return NULL;
}

static inline bool is_our_port(const struct lode_worker *w, const struct udp_info *udp)
{
	uint16_t first = w->snapshot->config->udp_port;
	return udp->port_be &&
	       (uint16_t)(__builtin_bswap16(udp->port_be) - first) < w->params.n_workers;
}

/* NULL: not a datagram for a lane of this worker, and gone. Otherwise data at the clear header, lode_pkt filled
 * in. The outer UDP checksum is not verified: what a wrong one could let through, the AEAD's tag or the
 * handshake's MAC refuses. */
static inline struct rte_mbuf *take_wan_frame(
	const struct entry *e, struct rte_mbuf *m, struct kin *k, uint64_t now_ns)
{
	struct lode_worker *w = e->w;
	struct udp_info udp;
	m = take_frame(e, m);
	if (m)
		m = take_ether(e, m);
	if (!m)
		return NULL;
	const uint8_t *ip = packet_data(m);
	if (!parse_udp(ip, m->data_len, is_unchecked(m), &udp)) {
		DROP(w, m, malformed);
		return NULL;
	}
	if (lode_unlikely(!is_our_port(w, &udp))) {
		lode_pkt_trim(m, m->data_len - udp.total_bytes);
		to_mirror(w, m);
		return NULL;
	}
	uint16_t udp_bytes = lode_load_be16(ip + udp.l4_offset + 4);
	if (udp_bytes < UDP_BYTES + LODE_WIRE_CLEAR_BYTES ||
		udp.l4_offset + udp_bytes > udp.total_bytes) {
		DROP(w, m, outer_malformed);
		return NULL;
	}
	if (lode_unlikely(is_handshake(ip[udp.l4_offset + UDP_BYTES] >> 4))) {
		to_control(w, m, now_ns);
		return NULL;
	}
	lode_pkt(m)->outer_off = m->data_off;
	lode_pkt(m)->outer_ecn = udp.ecn;
	lode_pkt_trim(m, m->data_len - udp.l4_offset - udp_bytes);
	lode_pkt_pull(m, udp.l4_offset + UDP_BYTES);
	return take_session(w, m, k);
}

unsigned take_wan_frames(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs,
	unsigned n, struct rte_mbuf **pkts, uint64_t now_ns)
{
	const struct entry e = begin(w, port_idx);
	struct kin kin = {.front = UINT64_MAX};
	uint64_t bytes = 0;
	unsigned n_pkts = 0;
	for (unsigned i = 0; i < n; i++) {
		bytes += mbufs[i]->pkt_len;
		struct rte_mbuf *m = take_wan_frame(&e, mbufs[i], &kin, now_ns);
		if (m)
			pkts[n_pkts++] = m;
	}
	lode_counter_add(&w->counters.wan_rx, n);
	lode_counter_add(&w->counters.wan_rx_bytes, bytes);
	return n_pkts;
}
