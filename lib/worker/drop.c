/* SPDX-License-Identifier: BSD-3-Clause */
/* The ends of a packet's way that are not a port: drops, the kernel's mirror, and the trace of both. */
#include "worker.h"

const struct lode_counter_desc lode_worker_counter_descs[] = {
	LODE_WORKER_COUNTERS(LODE_COUNTER_DESC_)};
const unsigned lode_worker_n_counters = LODE_ARRAY_LEN(lode_worker_counter_descs);

void lode_worker_held(const struct lode_worker *w, struct lode_worker_held *out)
{
	*out = (struct lode_worker_held){.own_pkts = w->n_own};
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (w->pending[i].deadline_ns)
			out->own_pkts += w->pending[i].n;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		struct lode_lane_held held;
		if (!lane_of(w, i))
			continue;
		lode_lane_held(lane_of(w, i), &held);
		out->lanes.queued_pkts += held.queued_pkts;
		out->lanes.waiting_pkts += held.waiting_pkts;
		out->lanes.waiting_parts += held.waiting_parts;
	}
}

void drop_packet(struct lode_worker *w, struct rte_mbuf *m, uint64_t *counter, const char *reason)
{
	lode_counter_add(counter, 1);
	trace_packet(w, m, "drop", reason, 0);
	rte_pktmbuf_free(m);
}

void to_mirror(struct lode_worker *w, struct rte_mbuf *m)
{
	struct lode_txq *q = &w->mirrors[lode_pkt(m)->rx_port];
	if (!lode_txq_room(q)) {
		DROP(w, m, mirror_full);
		return;
	}
	if (area(m)->l2_bytes)
		rte_pktmbuf_prepend(m, area(m)->l2_bytes); /* it still stands there */
	trace_packet(w, m, "mirror", NULL, 0);
	q->mbufs[q->n++] = m;
	lode_counter_add(&w->counters.exception, 1);
}

void trace_packet(struct lode_worker *w, struct rte_mbuf *m, const char *stage, const char *detail,
	uint64_t now_ns)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	if (lode_likely(!pkt->traced))
		return;
	struct lode_trace_record record = {.now_ns = now_ns,
		.packet = pkt->traced,
		.rx_port = pkt->rx_port,
		.cls = pkt->cls,
		.len_bytes = rte_pktmbuf_data_len(m),
		.stage = stage,
		.detail = detail};
	struct ip_info ip;
	if (parse_ip(packet_data(m), rte_pktmbuf_data_len(m), false, &ip)) {
		record.src = ip.tuple.src;
		record.dst = ip.tuple.dst;
		record.sport = __builtin_bswap16(ip.tuple.sport_be);
		record.dport = __builtin_bswap16(ip.tuple.dport_be);
		record.protocol = ip.tuple.protocol;
	}
	lode_ring_push(w->rings.trace, &record);
}

static bool same_or_any(const struct lode_ip *want, const struct lode_ip *is)
{
	return lode_ip_is_none(want) || !memcmp(want, is, sizeof(*is));
}

static bool filter_matches(const struct lode_trace_filter *f, const struct lode_ip *src,
	const struct lode_ip *dst, uint16_t sport, uint16_t dport)
{
	return same_or_any(&f->src, src) && same_or_any(&f->dst, dst) &&
	       (!f->sport || f->sport == sport) && (!f->dport || f->dport == dport);
}

void trace_start(struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip)
{
	const struct lode_trace_filter *f = &w->trace.filter;
	const struct five_tuple *t = &ip->tuple;
	if (lode_likely(w->trace.n_packets == 0))
		return;
	uint16_t sport = __builtin_bswap16(t->sport_be), dport = __builtin_bswap16(t->dport_be);
	if (f->protocol && f->protocol != t->protocol)
		return;
	if (!filter_matches(f, &t->src, &t->dst, sport, dport) &&
		!filter_matches(f, &t->dst, &t->src, dport, sport))
		return;
	w->trace.n_packets--;
	w->trace_id = w->trace_id == UINT8_MAX ? 1 : (uint8_t)(w->trace_id + 1);
	lode_pkt(m)->traced = w->trace_id;
}

void trace_take_request(struct lode_worker *w)
{
	struct trace_request request;
	while (lode_ring_pop(w->trace_requests, &request))
		w->trace = request;
}

void lode_worker_trace(
	struct lode_worker *w, const struct lode_trace_filter *filter, uint32_t n_packets)
{
	const struct trace_request request = {*filter, n_packets};
	lode_ring_push(w->trace_requests, &request);
}
