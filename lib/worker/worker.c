/* SPDX-License-Identifier: BSD-3-Clause */
/* Who gets the packet.
 *
 *   LAN frame --> take_lan_frame --> forward --+--> to_mirror   (ours: the kernel answers)
 *                                     ^        +--> to_port     (another LAN)
 *                 deliver ------------+        +--> to_host     (lode0)
 *                    ^                         +--> to_lanes    (a peer: flow, class, its lane)
 *                    |
 *   WAN frame --> take_wan_frame --> lode_lane_wan_rx           (or to control, or to the mirror)
 *
 * deliver is what a lane calls with the packets it opened. Every step ends with a frame in a transmit queue,
 * a packet in a lane, or a counted drop. */
#include "worker.h"

/* A lane of another worker: over the ring to it. */
void to_worker(
	struct lode_worker *w, unsigned worker_idx, struct rte_mbuf *m, enum handoff_kind kind)
{
	struct rte_ring *ring =
		worker_idx < w->params.n_workers ? w->params.handoff_to[worker_idx] : NULL;
	area(m)->handoff = (uint8_t)kind;
	if (!ring || rte_ring_sp_enqueue(ring, m) != 0) {
		DROP(w, m, handoff_full);
		return;
	}
	lode_counter_add(&w->counters.handoff, 1);
}

/* Of what is looked at in order, packet i stays, as the n-th. */
static inline void keep_packet(struct packets *p, unsigned *n, unsigned i)
{
	if (lode_unlikely(*n != i)) {
		p->ip[*n] = p->ip[i];
		p->pkts[*n] = p->pkts[i];
	}
	(*n)++;
}

/* ---- towards a peer ---- */

/* Entries for all packets, new ones included; the class of what came from a LAN. */
static void find_flows(struct lode_worker *w, struct packets *p)
{
	const struct five_tuple *tuples[LODE_BURST_MAX];
	uint32_t idx[LODE_BURST_MAX];
	for (unsigned i = 0; i < p->n; i++)
		tuples[i] = &p->ip[i].tuple;
	flow_lookup_burst(&w->flows, tuples, p->n, idx);
	for (unsigned i = 0; i < p->n; i++) {
		struct lode_pkt *pkt = lode_pkt(p->pkts[i]);
		const struct ip_info *ip = &p->ip[i];
		if (idx[i] == LODE_NO_FLOW) {
			uint32_t n_used = w->flows.n_used;
			idx[i] = flow_insert(&w->flows, &ip->tuple, p->now_ns);
			lode_counter_add(&w->counters.flows_new, w->flows.n_used - n_used);
			lode_counter_add(&w->counters.flow_table_full, idx[i] == LODE_NO_FLOW);
		}
		struct flow none = {0},
			    *f = idx[i] == LODE_NO_FLOW ? &none : &w->flows.entries[idx[i]].flow;
		if (f->n_pkts == 0 || f->rules_serial != w->rules_serial || f->dscp != ip->dscp)
			classify_start(w->rules, w->rules_serial, ip, f);
		pkt->flow_hash = idx[i] == LODE_NO_FLOW ? flow_symmetric_hash(&ip->tuple)
							: w->flows.entries[idx[i]].symmetric_hash;
		choose_lane(w, p->pkts[i], f, p->now_ns);
		classify_account(w->rules, f, ip->total_bytes, p->now_ns);
		f->closing |= !!(ip->tcp_flags & (TCP_FIN | TCP_RST));
		if (look_wanted(w, f, area(p->pkts[i])->from_wan) && idx[i] != LODE_NO_FLOW)
			look_at(w, p->pkts[i], ip, idx[i]);
		pkt->flow = idx[i] == LODE_NO_FLOW ? NULL : &f->lane;
		pkt->flow_idx = idx[i];
		if (!area(p->pkts[i])->from_wan && area(p->pkts[i])->handoff != HANDOFF_LANE)
			pkt->cls = pkt->rx_port == LODE_HOST_PORT ? LODE_MANAGEMENT : f->cls;
		if (trace_wanted(w) || lode_unlikely(pkt->traced))
			trace_class(w, p->pkts[i], ip);
	}
}

/* Takes the packets of the first peer in `left` out of it, in their order. Returns how many. */
static unsigned take_peer(
	struct rte_mbuf **pkts, uint64_t *left, struct rte_mbuf **burst, uint8_t *peer_idx)
{
	unsigned n = 0, i;
	*peer_idx = area(pkts[__builtin_ctzll(*left)])->peer_idx;
	LODE_FOREACH_BIT (i, *left) {
		if (area(pkts[i])->peer_idx != *peer_idx)
			continue;
		burst[n++] = pkts[i];
		*left &= ~(1ull << i);
	}
	return n;
}

/* Hands sub-bursts to the lanes of their peers; all of them are served by this worker. */
static void enqueue(struct lode_worker *w, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	uint64_t left = n ? UINT64_MAX >> (64 - n) : 0;
	while (left) {
		struct rte_mbuf *burst[LODE_BURST_MAX];
		uint8_t peer_idx;
		unsigned n_burst = take_peer(pkts, &left, burst, &peer_idx);
		lode_lane_enqueue(lane_of(w, peer_idx), burst, n_burst, now_ns);
		w->touched |= 1ull << peer_idx;
	}
	lode_counter_add(&w->counters.to_lane, n);
}

/* A packet longer than a segment goes in parts; its sender is told the better size all the same. Not that of UDP:
 * QUIC and its like find the size by what arrives (RFC 8899), and would not understand a kernel that refuses by this
 * hint what has just been seen to arrive. */
static void hint_size(struct lode_worker *w, unsigned peer_idx, struct rte_mbuf *m,
	const struct ip_info *ip, uint64_t now_ns)
{
	uint16_t segment_bytes = lode_lane_segment_bytes(lane_of(w, peer_idx));
	uint16_t inner_mtu = lode_wire_mtu_inner(segment_bytes, ip->version == 6);
	bool hinted = ip->dont_fragment && ip->tuple.protocol != PROTO_UDP && !area(m)->from_wan;
	if (segment_bytes && ip->total_bytes > inner_mtu && hinted)
		answer_icmp(w, LODE_WIRE_ICMP_TOO_BIG, inner_mtu, m, ip, now_ns);
}

/* Packets routed to peers get flow, class and lane; those of lanes elsewhere move on. With one lane only
 * its worker keeps the flow. */
static void to_lanes(struct lode_worker *w, struct packets *p)
{
	unsigned n = 0;
	bool several = false;
	for (unsigned i = 0; i < p->n; i++) {
		struct rte_mbuf *m = p->pkts[i];
		uint8_t peer_idx = area(m)->peer_idx;
		const struct lode_peer_view *view = w->snapshot->peers[peer_idx];
		bool further = view && view->n_lanes > 1;
		if (view && !further && view->lane_owner[0] != w->params.worker_idx) {
			to_worker(w, view->lane_owner[0], m, HANDOFF_LAN);
			continue;
		}
		if (!further && (!lane_of(w, peer_idx) || w->lane_ids[peer_idx] != 0)) {
			DROP(w, m, no_session);
			continue;
		}
		several |= further;
		keep_packet(p, &n, i);
	}
	p->n = n;
	find_flows(w, p);
	if (several)
		spread(w, p);
	for (unsigned i = 0; i < p->n; i++) {
		clamp_mss(w, area(p->pkts[i])->peer_idx, p->pkts[i], &p->ip[i]);
		hint_size(w, area(p->pkts[i])->peer_idx, p->pkts[i], &p->ip[i], p->now_ns);
	}
	if (lode_unlikely(w->talkers != NULL))
		talkers_count(w, p, true);
	enqueue(w, p->pkts, p->n, p->now_ns);
}

/* ---- routing ---- */

enum origin { FROM_LAN, FROM_PEER, FROM_US };

/* True: the packet may go on to another hop. */
static bool may_forward(struct lode_worker *w, enum origin origin, const struct lode_route *route,
	struct rte_mbuf *m, const struct ip_info *ip, uint64_t now_ns)
{
	if (origin == FROM_US)
		return true;
	if (ip->ttl <= 1) {
		answer_icmp(w, LODE_WIRE_ICMP_TIME_EXCEEDED, 0, m, ip, now_ns);
		DROP(w, m, ttl);
		return false;
	}
	struct lode_pkt *pkt = lode_pkt(m);
	if (origin == FROM_PEER && route->kind == LODE_ROUTE_PEER) {
		if (route->idx == pkt->from_peer || pkt->hop_limit == 0) {
			DROP(w, m, hop_limit);
			return false;
		}
		pkt->hop_limit--;
		lode_counter_add(&w->counters.transit, 1);
	}
	decrement_ttl(packet_data(m), ip);
	return true;
}

static void leave_in_fragments(struct lode_worker *w, unsigned port_idx,
	const struct lode_ip *next_hop, struct rte_mbuf *m, uint64_t now_ns)
{
	struct rte_mbuf *fragments[FRAGMENTS_MAX];
	unsigned n = fragment_ipv4(w, m, w->snapshot->ports[port_idx].mtu_bytes, fragments);
	if (n == 0) {
		DROP(w, m, no_mbuf);
		return;
	}
	lode_counter_add(&w->counters.fragmented, 1);
	rte_pktmbuf_free(m);
	for (unsigned i = 0; i < n; i++)
		to_port(w, port_idx, next_hop, fragments[i], now_ns);
}

static void leave_by_port(struct lode_worker *w, enum origin origin, const struct lode_route *route,
	struct rte_mbuf *m, const struct ip_info *ip, uint64_t now_ns)
{
	const struct lode_port_view *port = &w->snapshot->ports[route->idx];
	const struct lode_ip *next_hop =
		lode_ip_is_none(&route->via) ? &ip->tuple.dst : &route->via;
	bool too_long = ip->total_bytes > port->mtu_bytes;
	if (too_long && ip->dont_fragment) {
		answer_icmp(w, LODE_WIRE_ICMP_TOO_BIG, port->mtu_bytes, m, ip, now_ns);
		DROP(w, m, too_big);
		return;
	}
	if (origin == FROM_PEER)
		clamp_mss(w, lode_pkt(m)->from_peer, m, ip);
	else if (origin == FROM_LAN)
		lode_counter_add(&w->counters.local_forward, 1);
	lode_counter_add(&w->counters.lan_tx, 1);
	lode_counter_add(&w->counters.lan_tx_bytes, ip->total_bytes);
	if (lode_unlikely(too_long))
		leave_in_fragments(w, route->idx, next_hop, m, now_ns);
	else
		to_port(w, route->idx, next_hop, m, now_ns);
}

/* Longest match decides. Packets for peers are collected, so that lanes get bursts. */
static void forward(struct lode_worker *w, enum origin origin, struct packets *p)
{
	unsigned n = 0;
	for (unsigned i = 0; i < p->n; i++) {
		struct rte_mbuf *m = p->pkts[i];
		const struct ip_info *ip = &p->ip[i];
		const struct lode_route *route = route_of(w, &ip->tuple.dst);
		switch (route->kind) {
		case LODE_ROUTE_BOX:
			if (origin == FROM_LAN && lode_pkt(m)->rx_port != LODE_HOST_PORT)
				to_mirror(w, m);
			else
				to_host(w, m);
			break;
		case LODE_ROUTE_HOST:
			to_host(w, m);
			break;
		case LODE_ROUTE_PORT:
			if (may_forward(w, origin, route, m, ip, p->now_ns))
				leave_by_port(w, origin, route, m, ip, p->now_ns);
			break;
		case LODE_ROUTE_PEER:
			if (!may_forward(w, origin, route, m, ip, p->now_ns))
				break;
			area(m)->peer_idx = route->idx;
			keep_packet(p, &n, i);
			break;
		default:
			answer_icmp(w, LODE_WIRE_ICMP_NO_ROUTE, 0, m, ip, p->now_ns);
			DROP(w, m, no_route);
		}
	}
	p->n = n;
	to_lanes(w, p);
}

/* ---- the ways in ---- */

void lode_worker_lan_rx(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs,
	unsigned n, uint64_t now_ns)
{
	struct packets p;
	p.now_ns = now_ns;
	p.n = 0;
	note_entry(w, now_ns);
	lode_counter_add(&w->counters.lan_rx, n);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = take_lan_frame(w, port_idx, mbufs[i], &p.ip[p.n]);
		if (!m)
			continue;
		if (trace_wanted(w))
			trace_frame(w, m, &p.ip[p.n]);
		p.pkts[p.n++] = m;
	}
	forward(w, FROM_LAN, &p);
}

/* What a lane released. A peer may only speak for addresses that are routed to it. */
void deliver(void *ctx, unsigned peer_idx, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	struct lode_worker *w = ctx;
	struct packets p;
	p.now_ns = now_ns;
	p.n = 0;
	lode_counter_add(&w->counters.delivered, n);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		struct ip_info *ip = &p.ip[p.n];
		*area(m) = (struct worker_area){.from_wan = true, .tracer = area(m)->tracer};
		if (!parse_ip(packet_data(m), rte_pktmbuf_data_len(m), false, ip)) {
			DROP(w, m, malformed);
			continue;
		}
		const struct lode_route *back = route_of(w, &ip->tuple.src);
		if (back->kind != LODE_ROUTE_PEER || back->idx != peer_idx) {
			DROP(w, m, spoofed);
			continue;
		}
		if (trace_wanted(w) || lode_unlikely(lode_pkt(m)->traced))
			trace_delivered(w, m, ip, peer_idx);
		p.pkts[p.n++] = m;
	}
	if (lode_unlikely(w->talkers != NULL))
		talkers_count(w, &p, false);
	forward(w, FROM_PEER, &p);
}

/* Datagrams of sessions, each to the lane of its peer. */
static void to_wan_lanes(struct lode_worker *w, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	uint64_t left = n ? UINT64_MAX >> (64 - n) : 0;
	while (left) {
		struct rte_mbuf *burst[LODE_BURST_MAX];
		uint8_t peer_idx;
		unsigned n_burst = take_peer(pkts, &left, burst, &peer_idx);
		if (trace_wanted(w))
			lode_lane_trace(lane_of(w, peer_idx), now_ns);
		lode_lane_wan_rx(lane_of(w, peer_idx), burst, n_burst, now_ns);
		w->touched |= 1ull << peer_idx;
	}
	lode_counter_add(&w->counters.from_lane, n);
}

void lode_worker_wan_rx(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs,
	unsigned n, uint64_t now_ns)
{
	struct rte_mbuf *pkts[LODE_BURST_MAX];
	unsigned n_pkts = 0;
	note_entry(w, now_ns);
	lode_counter_add(&w->counters.wan_rx, n);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = take_wan_frame(w, port_idx, mbufs[i], now_ns);
		if (!m)
			continue;
		const struct lode_peer_view *view = w->snapshot->peers[area(m)->peer_idx];
		uint8_t owner = view->lane_owner[lode_pkt(m)->lane_id];
		if (owner != w->params.worker_idx)
			to_worker(w, owner, m, HANDOFF_WAN);
		else
			pkts[n_pkts++] = m;
	}
	to_wan_lanes(w, pkts, n_pkts, now_ns);
}

/* ---- once per loop ---- */

/* What other workers found to be ours. The snapshot may have changed on the way: look again. */
static void take_handoffs(struct lode_worker *w, struct rte_ring *ring, uint64_t now_ns)
{
	void *mbufs[LODE_BURST_MAX];
	struct rte_mbuf *datagrams[LODE_BURST_MAX];
	struct packets p;
	unsigned n_datagrams = 0;
	p.now_ns = now_ns;
	p.n = 0;
	unsigned n = rte_ring_sc_dequeue_burst(ring, mbufs, LODE_BURST_MAX, NULL);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = mbufs[i];
		if (!lane_of(w, area(m)->peer_idx))
			DROP(w, m, no_session);
		else if (area(m)->handoff == HANDOFF_WAN)
			datagrams[n_datagrams++] = m;
		else if (parse_ip(packet_data(m), rte_pktmbuf_data_len(m), false, &p.ip[p.n]))
			p.pkts[p.n++] = m;
		else
			DROP(w, m, malformed);
	}
	to_wan_lanes(w, datagrams, n_datagrams, now_ns);
	to_lanes(w, &p);
}

/* ICMP errors that answer_icmp made since the last poll. */
static void send_own(struct lode_worker *w, uint64_t now_ns)
{
	struct packets p;
	p.now_ns = now_ns;
	p.n = 0;
	for (unsigned i = 0; i < w->n_own; i++) {
		struct rte_mbuf *m = w->own[i];
		if (parse_ip(packet_data(m), rte_pktmbuf_data_len(m), false, &p.ip[p.n]))
			p.pkts[p.n++] = m;
		else
			DROP(w, m, malformed);
	}
	w->n_own = 0;
	forward(w, FROM_US, &p);
}

/* The whole table in some seconds, however often we are polled. */
static uint64_t sweep_flows(struct lode_worker *w, uint64_t now_ns)
{
	uint64_t elapsed_ns = now_ns - w->swept_ns;
	if (elapsed_ns >= LODE_MAX(SWEEP_NS, w->sweep_entry_ns)) {
		unsigned n = (unsigned)LODE_MIN(elapsed_ns / w->sweep_entry_ns, SWEEP_MAX);
		lode_counter_add(&w->counters.flows_expired, flow_sweep(&w->flows, n, now_ns));
		w->swept_ns = now_ns;
	}
	atomic_store_explicit(&w->n_flows, w->flows.n_used, memory_order_relaxed);
	return w->flows.n_used ? w->swept_ns + SWEEP_IDLE_NS : LODE_NEVER_NS;
}

uint64_t lode_worker_poll(struct lode_worker *w, uint64_t now_ns)
{
	adopt_snapshot(w, now_ns);
	if (!w->snapshot)
		return LODE_NEVER_NS;
	note_entry(w, now_ns);
	trace_take_request(w);
	talkers_turn(w, now_ns);
	looks_turn(w);
	for (unsigned i = 0; i < w->params.n_workers; i++)
		if (w->params.handoff_from[i])
			take_handoffs(w, w->params.handoff_from[i], now_ns);
	send_for_control(w, now_ns);
	uint64_t due_ns = poll_lanes(w, now_ns);
	if (w->n_own)
		send_own(w, now_ns);
	due_ns = LODE_MIN(due_ns, pending_poll(w, now_ns));
	due_ns = LODE_MIN(due_ns, sweep_flows(w, now_ns));
	return w->touched ? now_ns : due_ns;
}
