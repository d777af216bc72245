/* SPDX-License-Identifier: BSD-3-Clause */
/* Repair from the WAN. A gap in the sequence of a class is asked for once the slowest path should have
 * filled it. While parity comes, a class keeps copies of the sources that come (delivered packets are changed on
 * their further way), and what can be computed is put in order like anything that arrived. */
#include "order.h"

#define FULL_MIN_NS    (2.0 * (double)LODE_NS_PER_MS)
#define FULL_SHARE     0.85
#define NACK_MARGIN_US 500
#define NACK_TRIES     3
#define NACK_BYTES     (LODE_WIRE_TLV_HEADER_BYTES + 2 + LODE_WIRE_RANGES_MAX * 8)
#define LOOK_BACK      240 /* sources before the newest that are solved for */
#define SPAN_WEIGHT    8
#define FLAGS_MASK     (LODE_WIRE_MORE | LODE_WIRE_CONT | LODE_WIRE_BUNDLE)

/* ---- what is missing ---- */

static bool has_come(const struct lode_lane *l, unsigned cls, uint32_t seq)
{
	return order_has(&l->window[cls], seq);
}

/* Lost where the path's queue was about as long as it gets: a full buffer. An inner TCP shall see that loss at
 * once and slow down; to wait a round trip for the packet would only stop its clock. */
static bool is_congestion(const struct lode_lane *l, unsigned cls, unsigned path)
{
	const struct path_noise *n = &l->repair->noise[path];
	struct lode_path_stats s;
	if (cls == LODE_GAMING || cls == LODE_VOIP || l->path[path].est == NULL)
		return false;
	lode_path_get_stats(l->path[path].est, &s);
	double queue_ns = (double)s.rx.owd_queue_ns;
	return queue_ns > FULL_MIN_NS && queue_ns > FULL_SHARE * n->rx_queue_max_ns;
}

void repair_missing(struct lode_lane *l, unsigned cls, unsigned path, uint32_t after, uint32_t seq,
	uint32_t tx_us, uint64_t now_ns)
{
	struct lane_repair *r = l->repair;
	struct class_repair *c = &r->classes[cls];
	uint32_t n = (uint32_t)lode_wire_seq_diff(seq, after) - 1;
	if (n > GAP_MAX)
		return;
	/* When everything sent before has come in, over the slowest path that is in use. */
	int32_t left_us =
		l->late_valid ? (int32_t)(tx_us + l->late_us - lode_path_tx_us(now_ns)) : 0;
	uint64_t due_ns =
		now_ns + (uint64_t)(LODE_MAX(left_us, 0) + NACK_MARGIN_US) * LODE_NS_PER_US;
	bool ask = r->asking & 1u << cls && r->rtt_ns > 0 && r->rtt_ns < c->deadline_ns &&
		   !is_congestion(l, cls, path);
	for (uint32_t i = 1; i <= n && ask && r->n_missing < MISSING_MAX; i++, c->n_asked++)
		r->missing[r->n_missing++] = (struct missing_segment){.due_ns = due_ns,
			.since_ns = now_ns,
			.seq = (after + i) & LODE_WIRE_SEQ_MASK,
			.cls = (uint8_t)cls};
	c->stats.rx_missing += n;
	r->due_ns = LODE_MIN(r->due_ns, due_ns);
}

static void drop_missing(struct lane_repair *r, unsigned i)
{
	r->classes[r->missing[i].cls].n_asked--;
	r->missing[i] = r->missing[--r->n_missing];
}

/* Forgets what has come, or would come too late if it were asked for now. */
static void forget_missing(struct lode_lane *l, uint64_t now_ns)
{
	struct lane_repair *r = l->repair;
	for (unsigned i = 0; i < r->n_missing;) {
		const struct missing_segment *m = &r->missing[i];
		uint64_t back_ns = now_ns - m->since_ns + r->rtt_ns;
		if (has_come(l, m->cls, m->seq) || m->tries == NACK_TRIES ||
			back_ns > r->classes[m->cls].deadline_ns)
			drop_missing(r, i);
		else
			i++;
	}
}

static void note_range(struct lode_wire_ack *nack, uint32_t seq)
{
	if (nack->n_ranges > 0) {
		uint32_t *last = &nack->ranges[nack->n_ranges - 1].last;
		if (((*last + 1) & LODE_WIRE_SEQ_MASK) == seq) {
			*last = seq;
			return;
		}
	}
	nack->ranges[nack->n_ranges].first = nack->ranges[nack->n_ranges].last = seq;
	nack->n_ranges++;
}

/* One NACK for what is due of a class, over a path that control has not set aside for it. */
static void ask_for(struct lode_lane *l, struct lode_burst *b, unsigned cls)
{
	struct lane_repair *r = l->repair;
	unsigned path = l->class_paths[cls].fastest;
	if (path == LODE_NO_PATH || lode_txq_room(l->path[path].txq) < LODE_BURST_MAX)
		return;
	struct lode_wire_ack nack = {.lane = l->lane_id, .cls = (uint8_t)cls};
	struct lode_wire_writer w;
	unsigned n = 0;
	for (unsigned i = 0; i < r->n_missing && nack.n_ranges < LODE_WIRE_RANGES_MAX; i++) {
		struct missing_segment *m = &r->missing[i];
		if (m->cls != cls || m->due_ns > b->now_ns)
			continue;
		note_range(&nack, m->seq);
		m->tries++;
		m->due_ns = b->now_ns + LODE_REPAIR_ASK_NS(r->rtt_ns);
		n++;
	}
	if (n == 0)
		return;
	struct rte_mbuf *m = paths_begin_control(l, path, NACK_BYTES, &w, b->now_ns);
	if (m == NULL)
		return;
	lode_wire_put_nack(&w, &nack);
	paths_end_control(l, b, m, &w);
	r->classes[cls].stats.rx_asked += n;
	lode_counter_add(&l->counters.tx_nacks, 1);
}

void repair_ask(struct lode_lane *l, struct lode_burst *b)
{
	struct lane_repair *r = l->repair;
	if (r->n_missing == 0)
		return;
	forget_missing(l, b->now_ns);
	if (b->now_ns >= r->nack_due_ns) {
		for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
			ask_for(l, b, cls);
		r->nack_due_ns = b->now_ns + NACK_SPACING_NS;
	}
	uint64_t soonest_ns = b->now_ns + NACK_SPACING_NS;
	for (unsigned i = 0; i < r->n_missing; i++)
		r->due_ns = LODE_MIN(r->due_ns, LODE_MAX(r->missing[i].due_ns, soonest_ns));
}

/* ---- what came ---- */

/* The symbol of a source whose header has just been taken off. */
static void keep(struct repair_rx *rx, const struct rte_mbuf *m, uint64_t now_ns)
{
	const struct lode_pkt *pkt = lode_pkt((struct rte_mbuf *)m);
	unsigned slot = pkt->segment.seq % KEPT_SLOTS;
	unsigned len = LODE_WIRE_SYMBOL_HEADER_BYTES + m->data_len;
	if (len > SYMBOL_BYTES)
		return;
	uint8_t *symbol = rx->symbols + (size_t)slot * SYMBOL_BYTES;
	memcpy(symbol, rte_pktmbuf_mtod(m, const uint8_t *) - LODE_WIRE_SYMBOL_HEADER_BYTES, len);
	symbol[LODE_WIRE_SYMBOL_HEADER_BYTES - 1] =
		(uint8_t)(pkt->hop_limit << 4 | (pkt->segment.flags & FLAGS_MASK));
	rx->kept[slot] = (struct kept_source){
		.rx_ns = now_ns, .seq = pkt->segment.seq, .len = (uint16_t)len};
}

static const uint8_t *find_kept(void *ctx, uint32_t seq, uint16_t *len)
{
	const struct repair_rx *rx = ctx;
	unsigned slot = seq % KEPT_SLOTS;
	*len = rx->kept[slot].len;
	if (*len == 0 || rx->kept[slot].seq != (seq & LODE_WIRE_SEQ_MASK))
		return NULL;
	return rx->symbols + (size_t)slot * SYMBOL_BYTES;
}

/* ---- what is computed ---- */

/* A segment out of a symbol, ready for the stages behind this one. */
static void take_symbol(struct lode_lane *l, const struct lode_fec_recovered *s,
	const struct rte_mbuf *repair, unsigned cls)
{
	struct lode_burst *out = &l->env.pools->repair.recovered;
	struct repair_rx *rx = l->repair->classes[cls].rx;
	unsigned slot = s->seq % KEPT_SLOTS;
	memcpy(rx->symbols + (size_t)slot * SYMBOL_BYTES, s->bytes, s->len);
	rx->kept[slot] = (struct kept_source){.seq = s->seq & LODE_WIRE_SEQ_MASK, .len = s->len};
	uint16_t len = (uint16_t)(s->len - LODE_WIRE_SYMBOL_HEADER_BYTES);
	struct rte_mbuf *m = out->n < LODE_BURST_MAX ? rte_pktmbuf_alloc(l->env.mbufs) : NULL;
	char *to = m ? rte_pktmbuf_append(m, len) : NULL;
	if (to == NULL) {
		rte_pktmbuf_free(m);
		lode_counter_add(&l->counters.rx_recovered_no_mbuf, 1);
		return;
	}
	memcpy(to, s->bytes + LODE_WIRE_SYMBOL_HEADER_BYTES, len);
	struct lode_pkt *pkt = lode_pkt(m);
	*pkt = *lode_pkt((struct rte_mbuf *)repair);
	pkt->cls = (uint8_t)cls;
	pkt->outer_ecn = ECN_NOT_ECT;
	pkt->traced = 0;
	pkt->hop_limit = s->bytes[3] >> 4;
	pkt->segment.seq = s->seq & LODE_WIRE_SEQ_MASK;
	pkt->segment.dist = lode_load_be16(s->bytes);
	pkt->segment.flags = s->bytes[3] & FLAGS_MASK;
	out->pkts[out->n++] = m;
}

/* What its bytes claim must be possible: parity that does not belong together gives anything. */
static bool is_segment(const struct lode_fec_recovered *s)
{
	if (s->len <= LODE_WIRE_SYMBOL_HEADER_BYTES || s->bytes[2] != 0)
		return false;
	uint8_t flags = s->bytes[3] & 15;
	return !(flags & ~FLAGS_MASK) &&
	       !((flags & LODE_WIRE_BUNDLE) && (flags & (LODE_WIRE_MORE | LODE_WIRE_CONT)));
}

/* Time from a lost source until its repair: as long as the order should wait. */
static void note_span(struct repair_rx *rx, uint32_t first_seq, unsigned span, uint64_t now_ns)
{
	for (unsigned i = 0; i < span; i++) {
		const struct kept_source *k = &rx->kept[(first_seq + i) % KEPT_SLOTS];
		if (k->rx_ns == 0 || k->seq != ((first_seq + i) & LODE_WIRE_SEQ_MASK))
			continue;
		uint32_t us = (uint32_t)LODE_MIN((now_ns - k->rx_ns) / LODE_NS_PER_US, 1000000u);
		rx->span_us =
			rx->span_us ? (rx->span_us * (SPAN_WEIGHT - 1) + us) / SPAN_WEIGHT : us;
		return;
	}
}

static void solve(struct lode_lane *l, const struct rte_mbuf *repair, unsigned cls)
{
	struct class_repair *c = &l->repair->classes[cls];
	struct lode_fec_recovered out[LODE_FEC_LOST_MAX];
	struct lode_fec_sources sources = {c->rx, find_kept};
	uint32_t newest = l->window[cls].started ? l->window[cls].highest : 0;
	unsigned n = lode_fec_decoder_solve(c->rx->decoder, newest - LOOK_BACK, &sources, out);
	for (unsigned i = 0; i < n; i++) {
		if (is_segment(&out[i]))
			take_symbol(l, &out[i], repair, cls);
		else
			lode_counter_add(&l->counters.rx_repairs_bad, 1);
	}
}

static void take_repair(struct lode_lane *l, struct rte_mbuf *m, uint64_t now_ns)
{
	const uint8_t *text = rte_pktmbuf_mtod(m, const uint8_t *) + LODE_WIRE_CLEAR_BYTES;
	unsigned overhead = LODE_WIRE_CLEAR_BYTES + LODE_WIRE_SEGMENT_BYTES + LODE_WIRE_TAG_BYTES;
	struct lode_wire_repair header;
	lode_wire_get_repair(text, &header); /* has been checked */
	struct class_repair *c = &l->repair->classes[header.cls];
	c->stats.rx_repairs++;
	if (c->rx == NULL && (c->rx = repair_take_rx(l)) == NULL) {
		lode_counter_add(&l->counters.repair_no_slot, 1);
		return;
	}
	l->repair->keeping |= (uint8_t)(1u << header.cls);
	c->rx->used_ns = now_ns;
	struct lode_fec_repair repair = {.first_seq = header.first_seq,
		.span = header.span,
		.id = header.id,
		.coded_length = header.coded_length,
		.len = (uint16_t)(m->data_len - overhead),
		.bytes = (uint8_t *)(uintptr_t)text + LODE_WIRE_SEGMENT_BYTES};
	note_span(c->rx, header.first_seq, header.span, now_ns);
	lode_pkt(m)->tx_us = header.tx_us;
	if (lode_fec_decoder_repair(c->rx->decoder, &repair) == 0)
		solve(l, m, header.cls);
	else
		lode_counter_add(&l->counters.rx_repairs_bad, 1);
}

void repair_keep(struct lode_lane *l, struct lode_burst *b)
{
	for (unsigned i = 0; l->repair->keeping != 0 && i < b->n; i++) {
		unsigned cls = lode_pkt(b->pkts[i])->cls;
		if (l->repair->keeping & 1u << cls)
			keep(l->repair->classes[cls].rx, b->pkts[i], b->now_ns);
	}
}

/* The nearest source that came, before (step -1) or after (1) a lost one; NULL: forgotten. */
static const struct kept_source *neighbour(const struct class_repair *c, uint32_t seq, int step)
{
	for (int i = 1; c->rx != NULL && i < KEPT_SLOTS / 2; i++) {
		uint32_t other = (seq + (uint32_t)(i * step)) & LODE_WIRE_SEQ_MASK;
		const struct kept_source *k = &c->rx->kept[other % KEPT_SLOTS];
		if (k->rx_ns != 0 && k->seq == other)
			return k;
	}
	return NULL;
}

/* When the lost one would have come, between its neighbours, is longer ago than the deadline. */
static bool is_late(const struct class_repair *c, uint32_t seq, uint64_t now_ns)
{
	const struct kept_source *before = neighbour(c, seq, -1), *after = neighbour(c, seq, 1);
	uint64_t until_ns = after ? after->rx_ns : now_ns;
	if (before == NULL || before->rx_ns >= until_ns)
		return now_ns - until_ns > c->deadline_ns;
	uint32_t at = (uint32_t)lode_wire_seq_diff(seq, before->seq);
	uint32_t of = after ? (uint32_t)lode_wire_seq_diff(after->seq, before->seq) : at + 1;
	uint64_t come_ns = before->rx_ns + (until_ns - before->rx_ns) / of * at;
	return now_ns - come_ns > c->deadline_ns;
}

void repair_solve(struct lode_lane *l, struct lode_burst *b)
{
	struct lode_burst *arrived = &l->env.pools->repair.arrived,
			  *recovered = &l->env.pools->repair.recovered;
	for (unsigned i = 0; i < arrived->n; i++) {
		take_repair(l, arrived->pkts[i], b->now_ns);
		rte_pktmbuf_free(arrived->pkts[i]);
	}
	arrived->n = 0;
	l->n_parts = 0;
	l->n_behind = recovered->n;
	for (unsigned i = 0; i < recovered->n; i++) {
		struct rte_mbuf *m = recovered->pkts[i];
		struct lode_pkt *pkt = lode_pkt(m);
		struct class_repair *c = &l->repair->classes[pkt->cls];
		bool late = is_late(c, pkt->segment.seq, b->now_ns);
		c->stats.rx_late += late;
		/* Late ones would only stir the order: nobody waits for them any more. */
		if (late || order_note(&l->window[pkt->cls], pkt->segment.seq) != ARRIVAL_NEW) {
			rte_pktmbuf_free(m);
			continue;
		}
		c->stats.rx_recovered++;
		l->n_parts += (pkt->segment.flags & (LODE_WIRE_MORE | LODE_WIRE_CONT)) != 0;
		lode_counter_add(&l->counters.rx_recovered, 1);
		b->pkts[b->n++] = m;
	}
	recovered->n = 0;
}
