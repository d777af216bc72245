/* SPDX-License-Identifier: BSD-3-Clause */
/* The trace: packets that an operator asked about, stage by stage. Nothing here runs while nobody asks but a
 * test of one word per packet or burst. */
#include "worker.h"

uint64_t trace_clock(const struct lode_worker *w)
{
	return w->params.trace_clock ? w->params.trace_clock() : w->now_ns;
}

static void set_tuple(struct lode_packet_id *id, const struct ip_info *ip)
{
	id->src = ip->tuple.src;
	id->dst = ip->tuple.dst;
	id->sport = __builtin_bswap16(ip->tuple.sport_be);
	id->dport = __builtin_bswap16(ip->tuple.dport_be);
	id->protocol = ip->tuple.protocol;
}

/* IP header at data, behind an Ethernet header there, or the outer one that a datagram came in. */
static bool find_ip(struct rte_mbuf *m, struct ip_info *ip)
{
	const uint8_t *data = packet_data(m), *outer = (const uint8_t *)m->buf_addr;
	uint16_t len = rte_pktmbuf_data_len(m), outer_off = lode_pkt(m)->outer_off;
	struct ether_info ether;
	if (parse_ip(data, len, false, ip))
		return true;
	if (outer_off && outer_off < m->data_off)
		return parse_ip(outer + outer_off, m->data_off - outer_off + len, false, ip);
	return parse_ether(data, len, &ether) &&
	       parse_ip(data + ether.l3_offset, len - ether.l3_offset, false, ip);
}

void packet_id(struct rte_mbuf *m, struct lode_packet_id *id)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	struct ip_info ip;
	*id = (struct lode_packet_id){.len_bytes = rte_pktmbuf_data_len(m),
		.rx_port = pkt->rx_port,
		.cls = pkt->cls,
		.peer_idx = LODE_NO_PEER};
	if (find_ip(m, &ip))
		set_tuple(id, &ip);
}

static void write_record(struct lode_worker *w, struct rte_mbuf *m, bool in_lane, const char *stage,
	const char *detail, uint64_t at_ns)
{
	struct lode_trace_record record = {.at_ns = at_ns,
		.packet = lode_pkt(m)->traced,
		.worker_idx = area(m)->tracer,
		.stage = stage,
		.detail = detail};
	packet_id(m, &record.id);
	if (in_lane) {
		record.id.peer_idx = area(m)->peer_idx;
		record.id.path = lode_pkt(m)->path;
	}
	lode_ring_push(w->rings.trace, &record);
}

void trace_write(struct lode_worker *w, struct rte_mbuf *m, const char *stage, const char *detail,
	uint64_t at_ns)
{
	write_record(w, m, false, stage, detail, at_ns);
}

void trace_lane(
	void *ctx, struct rte_mbuf *m, const char *stage, const char *detail, uint64_t at_ns)
{
	write_record(ctx, m, true, stage, detail, at_ns);
}

/* ---- which packets ---- */

static bool same_or_any(const struct lode_ip *want, const struct lode_ip *is)
{
	return lode_ip_is_none(want) || !memcmp(want, is, sizeof(*is));
}

static bool one_way_matches(const struct lode_trace_filter *f, const struct lode_ip *src,
	const struct lode_ip *dst, uint16_t sport, uint16_t dport)
{
	return same_or_any(&f->src, src) && same_or_any(&f->dst, dst) &&
	       (!f->sport || f->sport == sport) && (!f->dport || f->dport == dport);
}

static bool tuple_matches(const struct lode_trace_filter *f, const struct five_tuple *t)
{
	uint16_t sport = __builtin_bswap16(t->sport_be), dport = __builtin_bswap16(t->dport_be);
	return (!f->protocol || f->protocol == t->protocol) &&
	       (one_way_matches(f, &t->src, &t->dst, sport, dport) ||
		       one_way_matches(f, &t->dst, &t->src, dport, sport));
}

static void begin(struct lode_worker *w, struct rte_mbuf *m, const char *stage)
{
	w->trace.n_packets--;
	w->trace_id = w->trace_id == UINT8_MAX ? 1 : (uint8_t)(w->trace_id + 1);
	w->trace_delivered[w->trace_id / 64] &= ~(1ull << w->trace_id % 64);
	lode_pkt(m)->traced = w->trace_id;
	area(m)->tracer = (uint8_t)w->params.worker_idx;
	trace_write(w, m, stage, NULL, w->rx_ns);
}

/* A filter by class or peer has to wait until these are known. */
static bool needs_class(const struct lode_trace_filter *f)
{
	return f->any_of_classes || f->peer;
}

static bool class_matches(const struct lode_trace_filter *f, unsigned cls, unsigned peer_idx)
{
	return (!f->any_of_classes || f->any_of_classes >> cls & 1) &&
	       (!f->peer || f->peer == peer_idx + 1);
}

void trace_frame(struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip)
{
	if (!needs_class(&w->trace.filter) && tuple_matches(&w->trace.filter, &ip->tuple))
		begin(w, m, "lan rx");
}

void trace_class(struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	const struct lode_trace_filter *f = &w->trace.filter;
	if (!pkt->traced && w->trace.n_packets && tuple_matches(f, &ip->tuple) &&
		class_matches(f, pkt->cls, area(m)->peer_idx))
		begin(w, m, "lan rx");
	if (pkt->traced)
		trace_write(w, m, "class", lode_class_name(pkt->cls), trace_clock(w));
}

/* Data of an opened segment: a packet, or a bundle of several. */
static bool segment_matches(const struct lode_trace_filter *f, struct rte_mbuf *m)
{
	const uint8_t *data = packet_data(m);
	uint16_t len = rte_pktmbuf_data_len(m);
	struct lode_wire_item item;
	struct ip_info ip;
	size_t at = 0;
	if (!(lode_pkt(m)->segment.flags & LODE_WIRE_BUNDLE))
		return parse_ip(data, len, false, &ip) && tuple_matches(f, &ip.tuple);
	while (lode_wire_bundle_next(data, len, &at, &item) > 0)
		if (parse_ip(item.data, item.len, false, &ip) && tuple_matches(f, &ip.tuple))
			return true;
	return false;
}

bool trace_opened(void *ctx, struct rte_mbuf *m, unsigned peer_idx)
{
	struct lode_worker *w = ctx;
	const struct lode_trace_filter *f = &w->trace.filter;
	if (!w->trace.n_packets || !class_matches(f, lode_pkt(m)->cls, peer_idx) ||
		!segment_matches(f, m))
		return false;
	begin(w, m, "wan rx");
	return true;
}

/* Of a bundle the first packet that matches keeps the trace. */
static bool is_first_delivered(struct lode_worker *w, unsigned id)
{
	uint64_t *mask = &w->trace_delivered[id / 64], bit = 1ull << id % 64;
	bool first = !(*mask & bit);
	*mask |= bit;
	return first;
}

void trace_delivered(
	struct lode_worker *w, struct rte_mbuf *m, const struct ip_info *ip, unsigned peer_idx)
{
	const struct lode_trace_filter *f = &w->trace.filter;
	struct lode_pkt *pkt = lode_pkt(m);
	bool wanted = tuple_matches(f, &ip->tuple) && class_matches(f, pkt->cls, peer_idx);
	if (pkt->traced && (!wanted || !is_first_delivered(w, pkt->traced)))
		pkt->traced = 0;
	else if (wanted && !pkt->traced && w->trace.n_packets)
		begin(w, m, "wan rx");
	if (pkt->traced)
		trace_write(w, m, "deliver", NULL, trace_clock(w));
}

/* ---- who asks ---- */

void trace_take_request(struct lode_worker *w)
{
	struct trace_request request;
	while (lode_ring_pop(w->trace_requests, &request))
		w->trace = request;
	if (lode_unlikely(w->trace.n_packets && w->load.level >= LODE_LOAD_SEVERE)) {
		w->trace.n_packets = 0;
		lode_counter_add(&w->counters.traces_shed, 1);
	}
}

void lode_worker_trace(
	struct lode_worker *w, const struct lode_trace_filter *filter, uint32_t n_packets)
{
	const struct trace_request request = {*filter, n_packets};
	lode_ring_push(w->trace_requests, &request);
}
