/* SPDX-License-Identifier: BSD-3-Clause */
/* Who gets the packet.
 *
 *   LAN frame --> take_lan_frames -> forward --+--> to_mirror   (ours: the kernel answers)
 *                                     ^        +--> to_port     (another LAN)
 *                 deliver ------------+        +--> to_host     (lode0)
 *                    ^                         +--> to_lanes    (a peer: flow, class, its lane)
 *                    |
 *   WAN frame --> take_wan_frames -> lode_lane_wan_rx           (or to control, or to the mirror)
 *
 * deliver is what a lane calls with the packets it opened. Every step ends with a frame in a transmit queue,
 * a packet in a lane, or a counted drop. */
#include "egress.h"

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

/* A new entry; LODE_NO_FLOW: the table is full. */
static uint32_t add_flow(struct lode_worker *w, const struct five_tuple *tuple, uint64_t now_ns)
{
	uint32_t n_used = w->flows.n_used;
	uint32_t idx = flow_insert(&w->flows, tuple, now_ns);
	lode_counter_add(&w->counters.flows_new, w->flows.n_used - n_used);
	lode_counter_add(&w->counters.flow_table_full, idx == LODE_NO_FLOW);
	return idx;
}

/* Class, lane (of several) and what else the flow knows, or makes known now. */
static inline void use_flow(struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip,
	uint32_t idx, struct flow_entry *e, bool several, uint64_t now_ns)
{
	struct flow *f = &e->flow;
	struct lode_pkt *pkt = lode_pkt(m);
	if (f->n_pkts == 0 || f->rules_serial != w->rules_serial || f->dscp != ip->dscp)
		classify_start(w->rules, w->rules_serial, ip, f);
	pkt->flow_hash = e->symmetric_hash;
	if (lode_unlikely(several))
		choose_lane(w, m, f, now_ns);
	classify_account(w->rules, f, ip->total_bytes, now_ns);
	if (lode_unlikely(ip->tcp_flags & (TCP_FIN | TCP_RST)))
		f->closing = 1;
	if (look_wanted(w, f, area(m)->from_wan) && idx != LODE_NO_FLOW)
		look_at(w, m, ip, idx);
	pkt->flow = idx == LODE_NO_FLOW ? NULL : &f->lane;
	if (!area(m)->from_wan && area(m)->handoff != HANDOFF_LANE)
		pkt->cls = pkt->rx_port == LODE_HOST_PORT ? LODE_MANAGEMENT : f->cls;
	if (trace_wanted(w) || lode_unlikely(pkt->traced))
		trace_class(w, m, ip);
}

/* Entries for all packets, new ones included; the class of what came from a LAN. */
static void find_flows(struct lode_worker *w, struct packets *p, bool several)
{
	const struct five_tuple *tuples[LODE_BURST_MAX];
	uint32_t idx[LODE_BURST_MAX];
	for (unsigned i = 0; i < p->n; i++)
		tuples[i] = &p->ip[i].tuple;
	flow_lookup_burst(&w->flows, tuples, p->n, idx);
	for (unsigned i = 0; i < p->n; i++) {
		if (lode_unlikely(idx[i] == LODE_NO_FLOW))
			idx[i] = add_flow(w, tuples[i], p->now_ns);
		if (lode_likely(idx[i] != LODE_NO_FLOW)) {
			use_flow(w, p->pkts[i], &p->ip[i], idx[i], &w->flows.entries[idx[i]],
				several, p->now_ns);
			continue;
		}
		struct flow_entry none = {.symmetric_hash = flow_symmetric_hash(tuples[i])};
		use_flow(w, p->pkts[i], &p->ip[i], LODE_NO_FLOW, &none, several, p->now_ns);
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

static void enqueue_to(struct lode_worker *w, unsigned peer_idx, struct rte_mbuf **pkts, unsigned n,
	uint64_t now_ns)
{
	lode_lane_enqueue(lane_of(w, peer_idx), pkts, n, now_ns);
	w->touched |= 1ull << peer_idx;
}

/* Hands sub-bursts to the lanes of their peers; all of them are served by this worker. */
static void enqueue(
	struct lode_worker *w, struct rte_mbuf **pkts, unsigned n, bool one_peer, uint64_t now_ns)
{
	uint64_t left = n ? UINT64_MAX >> (64 - n) : 0;
	lode_counter_add(&w->counters.to_lane, n);
	if (lode_likely(one_peer && n > 0)) {
		enqueue_to(w, area(pkts[0])->peer_idx, pkts, n, now_ns);
		return;
	}
	while (left) {
		struct rte_mbuf *burst[LODE_BURST_MAX];
		uint8_t peer_idx;
		unsigned n_burst = take_peer(pkts, &left, burst, &peer_idx);
		enqueue_to(w, peer_idx, burst, n_burst, now_ns);
	}
}

/* A packet longer than a segment goes in parts; its sender is told the better size all the same. Not that of UDP:
 * QUIC and its like find the size by what arrives (RFC 8899), and would not understand a kernel that refuses by this
 * hint what has just been seen to arrive. */
static void hint_size(struct lode_worker *w, unsigned peer_idx, struct rte_mbuf *m,
	const struct ip_info *ip, uint64_t now_ns)
{
	uint16_t segment_bytes = lode_lane_segment_bytes(lane_of(w, peer_idx));
	if (lode_likely(ip->total_bytes <= segment_bytes))
		return;
	uint16_t inner_mtu = lode_wire_mtu_inner(segment_bytes, ip->version == 6);
	bool hinted = ip->dont_fragment && ip->tuple.protocol != PROTO_UDP && !area(m)->from_wan;
	if (segment_bytes && ip->total_bytes > inner_mtu && hinted)
		answer_icmp(w, LODE_WIRE_ICMP_TOO_BIG, inner_mtu, m, ip, now_ns);
}

enum lanes { LANE_HERE, LANES_SEVERAL, LANE_ELSEWHERE, LANE_NONE };

static enum lanes lanes_of(const struct lode_worker *w, unsigned peer_idx)
{
	const struct lode_peer_view *view = w->snapshot->peers[peer_idx];
	if (view && view->n_lanes > 1)
		return LANES_SEVERAL;
	if (view && view->lane_owner[0] != w->params.worker_idx)
		return LANE_ELSEWHERE;
	return lane_of(w, peer_idx) && w->lane_ids[peer_idx] == 0 ? LANE_HERE : LANE_NONE;
}

/* Packets routed to peers get flow, class and lane; those of lanes elsewhere move on. With one lane only
 * its worker keeps the flow. */
static void to_lanes(struct lode_worker *w, struct packets *p)
{
	unsigned n = 0, n_runs = 0, peer_idx = LODE_PEERS_MAX; /* the one before: none yet */
	enum lanes lanes = LANE_NONE;
	bool several = false;
	for (unsigned i = 0; i < p->n; i++) {
		struct rte_mbuf *m = p->pkts[i];
		if (area(m)->peer_idx != peer_idx) {
			peer_idx = area(m)->peer_idx;
			n_runs++;
			lanes = lanes_of(w, peer_idx);
			several |= lanes == LANES_SEVERAL;
		}
		if (lode_likely(lanes <= LANES_SEVERAL))
			keep_packet(p, &n, i);
		else if (lanes == LANE_ELSEWHERE)
			to_worker(w, w->snapshot->peers[peer_idx]->lane_owner[0], m, HANDOFF_LAN);
		else
			DROP(w, m, no_session);
	}
	p->n = n;
	find_flows(w, p, several);
	if (several)
		spread(w, p);
	for (unsigned i = 0; i < p->n; i++) {
		clamp_mss(w, area(p->pkts[i])->peer_idx, p->pkts[i], &p->ip[i]);
		hint_size(w, area(p->pkts[i])->peer_idx, p->pkts[i], &p->ip[i], p->now_ns);
	}
	if (lode_unlikely(w->talkers != NULL))
		talkers_count(w, p, true);
	enqueue(w, p->pkts, p->n, n_runs == 1, p->now_ns);
}

/* ---- routing ---- */

enum origin { FROM_LAN, FROM_PEER, FROM_US };

/* True: the packet may go on to another hop. */
static inline bool may_forward(struct lode_worker *w, enum origin origin,
	const struct lode_route *route, struct rte_mbuf *m, const struct ip_info *ip,
	uint64_t now_ns)
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
		DROP(w, m, uncut);
		return;
	}
	lode_counter_add(&w->counters.fragmented, 1);
	lode_counter_add(&w->counters.fragments, n);
	rte_pktmbuf_free(m);
	for (unsigned i = 0; i < n; i++)
		to_port(w, port_idx, next_hop, fragments[i], now_ns);
}

static inline void leave_by_port(struct lode_worker *w, enum origin origin,
	const struct lode_route *route, struct packets *p, unsigned i)
{
	struct rte_mbuf *m = p->pkts[i];
	const struct ip_info *ip = &p->ip[i];
	uint64_t now_ns = p->now_ns;
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
	p->n_left++;
	p->left_bytes += ip->total_bytes;
	if (lode_unlikely(too_long))
		leave_in_fragments(w, route->idx, next_hop, m, now_ns);
	else
		to_port(w, route->idx, next_hop, m, now_ns);
}

/* Longest match decides. Packets for peers are collected, so that lanes get bursts. */
static void forward(struct lode_worker *w, enum origin origin, struct packets *p)
{
	unsigned n = 0;
	p->n_left = p->left_bytes = 0;
	for (unsigned i = 0; i < p->n; i++) {
		struct rte_mbuf *m = p->pkts[i];
		const struct ip_info *ip = &p->ip[i];
		const struct lode_route *route = route_of(w, &ip->tuple.dst, ip->version);
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
				leave_by_port(w, origin, route, p, i);
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
	lode_counter_add(&w->counters.lan_tx, p->n_left);
	lode_counter_add(&w->counters.lan_tx_bytes, p->left_bytes);
	p->n = n;
	if (n > 0)
		to_lanes(w, p);
}

/* ---- the ways in ---- */

void lode_worker_lan_rx(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs,
	unsigned n, uint64_t now_ns)
{
	struct packets p;
	p.now_ns = now_ns;
	note_entry(w, now_ns);
	take_lan_frames(w, port_idx, mbufs, n, &p);
	forward(w, FROM_LAN, &p);
}

/* What a lane released. A peer may only speak for addresses that are routed to it. */
void deliver(void *ctx, unsigned peer_idx, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	struct lode_worker *w = ctx;
	struct packets p;
	unsigned n_pkts = 0;
	p.now_ns = now_ns;
	lode_counter_add(&w->counters.delivered, n);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		struct ip_info *ip = &p.ip[n_pkts];
		*area(m) = (struct worker_area){.from_wan = true, .tracer = area(m)->tracer};
		if (!parse_ip(packet_data(m), rte_pktmbuf_data_len(m), false, ip)) {
			DROP(w, m, malformed);
			continue;
		}
		const struct lode_route *back = route_of(w, &ip->tuple.src, ip->version);
		if (back->kind != LODE_ROUTE_PEER || back->idx != peer_idx) {
			DROP(w, m, spoofed);
			continue;
		}
		if (trace_wanted(w) || lode_unlikely(lode_pkt(m)->traced))
			trace_delivered(w, m, ip, peer_idx);
		p.pkts[n_pkts++] = m;
	}
	p.n = n_pkts;
	if (lode_unlikely(w->talkers != NULL))
		talkers_count(w, &p, false);
	forward(w, FROM_PEER, &p);
}

/* Nearly every burst is from one peer. */
static inline bool is_one_peer(struct rte_mbuf **pkts, unsigned n)
{
	unsigned differ = 0;
	for (unsigned i = 1; i < n; i++)
		differ |= area(pkts[i])->peer_idx ^ area(pkts[0])->peer_idx;
	return n > 0 && differ == 0;
}

static void wan_rx_from(struct lode_worker *w, unsigned peer_idx, struct rte_mbuf **pkts,
	unsigned n, uint64_t now_ns)
{
	if (trace_wanted(w))
		lode_lane_trace(lane_of(w, peer_idx), now_ns);
	lode_lane_wan_rx(lane_of(w, peer_idx), pkts, n, now_ns);
	w->touched |= 1ull << peer_idx;
}

/* Datagrams of sessions, each to the lane of its peer. */
static void to_wan_lanes(struct lode_worker *w, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	uint64_t left = n ? UINT64_MAX >> (64 - n) : 0;
	lode_counter_add(&w->counters.from_lane, n);
	if (lode_likely(is_one_peer(pkts, n))) {
		wan_rx_from(w, area(pkts[0])->peer_idx, pkts, n, now_ns);
		return;
	}
	while (left) {
		struct rte_mbuf *burst[LODE_BURST_MAX];
		uint8_t peer_idx;
		unsigned n_burst = take_peer(pkts, &left, burst, &peer_idx);
		wan_rx_from(w, peer_idx, burst, n_burst, now_ns);
	}
}

void lode_worker_wan_rx(struct lode_worker *w, unsigned port_idx, struct rte_mbuf **mbufs,
	unsigned n, uint64_t now_ns)
{
	struct rte_mbuf *pkts[LODE_BURST_MAX];
	note_entry(w, now_ns);
	unsigned n_pkts = take_wan_frames(w, port_idx, mbufs, n, pkts, now_ns);
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
	uint64_t elapsed_ns = w->flows.n_used ? now_ns - w->swept_ns : 0;
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
