/* SPDX-License-Identifier: BSD-3-Clause */
/* Repair towards the WAN. A segment is folded into the parity that is being built and its text is copied into
 * the memory of its class; drivers that free in bulk allow no second owner of a packet's buffer, and sealing
 * overwrites it. Parity leaves by rate, or ahead of its time when the class pauses. What is asked for by
 * a NACK leaves before anything new. */
#include "lane.h"

#define PAUSE_SHARE	4 /* a class that is silent for 1/4 of its deadline pauses */
#define PAUSE_MAX_NS	(5 * LODE_NS_PER_MS)
#define FLUSH_CREDIT_Q8 64 /* parity owed, in 1/256 repairs, that is worth one ahead of its time */
#define PULLED_MAX	16 /* segments sent again per burst */
#define BUSY_NS		(100 * LODE_NS_PER_US)
#define SYMBOL_OFFSET	(LODE_WIRE_SEGMENT_BYTES - LODE_WIRE_SYMBOL_HEADER_BYTES)
#define DSCP_MASK	0xfc

static void due_at(struct lode_lane *l, uint64_t at_ns)
{
	l->repair->due_ns = LODE_MIN(l->repair->due_ns, at_ns);
}

static bool is_metered(unsigned cls)
{
	return cls == LODE_GAMING || cls == LODE_VOIP;
}

static uint64_t pause_ns(const struct class_repair *c)
{
	return LODE_MIN(c->deadline_ns / PAUSE_SHARE, PAUSE_MAX_NS);
}

/* ---- parity ---- */

/* The segment's own path has been charged for parity already. */
static bool takes_repair(
	struct lode_lane *l, unsigned cls, unsigned p, unsigned own, uint64_t now_ns)
{
	if (!(l->class_paths[cls].usable & 1u << p) ||
		lode_txq_room(l->path[p].txq) < LODE_BURST_MAX)
		return false;
	return p == own || paths_granted(l, p, is_metered(cls), now_ns);
}

/* The best path as decided; without that, the next one after the last taken, striping. LODE_NO_PATH: nobody can
 * take it. */
static unsigned repair_path(struct lode_lane *l, unsigned cls, unsigned own, uint64_t now_ns)
{
	struct class_repair *c = &l->repair->classes[cls];
	const struct lode_repair_decision *d = &c->cache.decision;
	for (unsigned i = 0; i < d->n_ranked; i++) {
		unsigned p = c->input_link[d->ranked[i]];
		if (takes_repair(l, cls, p, own, now_ns))
			return p;
	}
	for (unsigned i = 1; i <= LODE_LINKS_MAX; i++) {
		unsigned p = (c->last_path + i) % LODE_LINKS_MAX;
		if (takes_repair(l, cls, p, own, now_ns)) {
			c->last_path = (uint8_t)p;
			return p;
		}
	}
	return LODE_NO_PATH;
}

static struct rte_mbuf *make_datagram(
	struct lode_lane *l, unsigned cls, unsigned path, uint8_t tos, uint8_t flags, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->env.mbufs);
	if (m == NULL)
		return NULL;
	if (rte_pktmbuf_append(m, len) == NULL) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	struct lode_pkt *pkt = lode_pkt(m);
	memset(pkt, 0, sizeof(*pkt));
	pkt->cls = (uint8_t)cls;
	pkt->path = (uint8_t)path;
	pkt->segment.flags = flags;
	pkt->outer_tos = tos;
	return m;
}

static void send_repair(
	struct lode_lane *l, struct lode_burst *b, unsigned cls, const struct lode_fec_repair *r)
{
	struct class_repair *c = &l->repair->classes[cls];
	uint16_t len = (uint16_t)(LODE_WIRE_SEGMENT_BYTES + r->len);
	unsigned path = repair_path(l, cls, c->tx->path, b->now_ns);
	struct rte_mbuf *m = NULL;
	if (path != LODE_NO_PATH && b->n < LODE_BURST_MAX)
		m = make_datagram(l, cls, path, c->tx->tos & DSCP_MASK, TX_REPAIR, len);
	if (m == NULL) {
		c->stats.tx_repairs_skipped++;
		return;
	}
	struct lode_wire_repair header = {.cls = (uint8_t)cls,
		.span = r->span,
		.id = r->id,
		.coded_length = r->coded_length,
		.first_seq = r->first_seq & LODE_WIRE_SEQ_MASK,
		.tx_us = lode_path_tx_us(b->now_ns)};
	uint8_t *text = rte_pktmbuf_mtod(m, uint8_t *);
	lode_wire_put_repair(text, &header);
	memcpy(text + LODE_WIRE_SEGMENT_BYTES, r->bytes, r->len);
	paths_spend(l, path, is_metered(cls), len + LODE_WIRE_OVERHEAD - LODE_WIRE_SEGMENT_BYTES);
	c->stats.tx_repairs++;
	c->stats.tx_repair_bytes += len;
	lode_counter_add(&l->counters.tx_repairs, 1);
	b->pkts[b->n++] = m;
}

/* Folds a segment into the class's parity; sends at most one repair per source: the burst has room for it. */
static void encode(struct lode_lane *l, struct lode_burst *b, struct rte_mbuf *m, uint16_t rate_q8)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	struct class_repair *c = &l->repair->classes[pkt->cls];
	uint8_t *text = rte_pktmbuf_mtod(m, uint8_t *);
	uint8_t *last = text + LODE_WIRE_SEGMENT_BYTES - 1, as_sent = *last;
	struct lode_fec_repair r;
	lode_fec_encoder_set(c->tx->encoder, rate_q8, c->cache.decision.span);
	*last |= pkt->segment.flags & (LODE_WIRE_MORE | LODE_WIRE_CONT | LODE_WIRE_BUNDLE);
	bool due = lode_fec_encoder_add(c->tx->encoder, pkt->segment.seq, text + SYMBOL_OFFSET,
		(uint16_t)(m->data_len - SYMBOL_OFFSET), &r);
	*last = as_sent;
	if (due)
		send_repair(l, b, pkt->cls, &r);
	due_at(l, b->now_ns + pause_ns(c));
}

/* ---- memory of what was sent ---- */

static void remember(struct repair_tx *tx, const struct rte_mbuf *m, uint64_t now_ns)
{
	const struct lode_pkt *pkt = lode_pkt((struct rte_mbuf *)m);
	unsigned slot = pkt->segment.seq % SENT_SLOTS;
	if (m->data_len > SYMBOL_BYTES)
		return;
	tx->sent[slot] = (struct sent_segment){.sent_ns = now_ns,
		.seq = pkt->segment.seq,
		.len = m->data_len,
		.tos = pkt->outer_tos,
		.path = pkt->path};
	memcpy(tx->texts + (size_t)slot * SYMBOL_BYTES, rte_pktmbuf_mtod(m, const void *),
		m->data_len);
}

void repair_on_nack(struct lode_lane *l, const struct lode_wire_tlv *tlv, uint64_t now_ns)
{
	struct lane_repair *r = l->repair;
	struct lode_wire_ack nack;
	if (lode_wire_get_nack(tlv, &nack) < 0 || nack.lane != l->lane_id) {
		lode_counter_add(&l->counters.rx_control_bad, 1);
		return;
	}
	struct class_repair *c = &r->classes[nack.cls];
	for (unsigned i = 0; i < nack.n_ranges; i++) {
		uint32_t seq = nack.ranges[i].first;
		uint32_t n = ((nack.ranges[i].last - seq) & LODE_WIRE_SEQ_MASK) + 1;
		for (; n > 0; n--, seq = (seq + 1) & LODE_WIRE_SEQ_MASK) {
			const struct sent_segment *s =
				c->tx ? &c->tx->sent[seq % SENT_SLOTS] : NULL;
			if (s == NULL || s->len == 0 || s->seq != seq ||
				r->n_resend == RESEND_MAX) {
				c->stats.tx_unknown++;
				continue;
			}
			r->resend[r->n_resend++] = (struct resend){.seq = seq, .cls = nack.cls};
			due_at(l, now_ns);
		}
	}
	if (c->tx == NULL && c->mode != LODE_REPAIR_OFF)
		c->lossy_ns = now_ns; /* from now on it is remembered */
}

/* False: no path can take it now. */
static bool send_again(struct lode_lane *l, struct lode_burst *b, const struct resend *want)
{
	struct class_repair *c = &l->repair->classes[want->cls];
	const struct class_paths *paths = &l->class_paths[want->cls];
	if (c->tx == NULL)
		return true;
	struct sent_segment *s = &c->tx->sent[want->seq % SENT_SLOTS];
	if (s->len == 0 || s->seq != want->seq || b->now_ns - s->sent_ns > c->deadline_ns ||
		b->now_ns - s->resent_ns < l->repair->rtt_ns / 2)
		return true; /* gone, too late, or on its way again */
	/* Not where it was lost, if there is another one: it may have been no chance. */
	uint8_t others = (uint8_t)(paths->usable & ~(1u << s->path));
	unsigned path = steer_any(l, others ? others : paths->usable, paths->preferred,
		is_metered(want->cls), b->now_ns);
	if (path == LODE_NO_PATH)
		return false;
	struct rte_mbuf *m = make_datagram(l, want->cls, path, s->tos, TX_RESENT, s->len);
	if (m == NULL)
		return true;
	uint8_t *text = rte_pktmbuf_mtod(m, uint8_t *);
	memcpy(text, c->tx->texts + (size_t)(want->seq % SENT_SLOTS) * SYMBOL_BYTES, s->len);
	lode_store_be32(text + 4, lode_path_tx_us(b->now_ns));
	paths_spend(l, path, is_metered(want->cls), s->len + LODE_WIRE_OVERHEAD);
	s->resent_ns = b->now_ns;
	c->stats.tx_resent++;
	lode_counter_add(&l->counters.tx_resent, 1);
	b->pkts[b->n++] = m;
	return true;
}

static void send_what_was_asked(struct lode_lane *l, struct lode_burst *b)
{
	struct lane_repair *r = l->repair;
	unsigned done = 0;
	while (done < r->n_resend && done < PULLED_MAX && b->n < LODE_BURST_MAX / 2) {
		if (!send_again(l, b, &r->resend[done]))
			break;
		done++;
	}
	r->n_resend -= done;
	memmove(r->resend, r->resend + done, r->n_resend * sizeof(r->resend[0]));
	if (r->n_resend > 0)
		due_at(l, b->now_ns + BUSY_NS);
}

/* ---- pauses ---- */

/* The last sources before a pause would wait for parity until the class goes on. */
static void flush_pauses(struct lode_lane *l, struct lode_burst *b)
{
	unsigned cls;
	LODE_FOREACH_BIT (cls, l->repair->sending) {
		struct class_repair *c = &l->repair->classes[cls];
		struct lode_fec_repair repair;
		if (c->tx == NULL || c->tx->flushed || c->cache.decision.rate_q8 == 0)
			continue;
		uint64_t pause_at_ns = c->tx->used_ns + pause_ns(c);
		if (b->now_ns < pause_at_ns) {
			due_at(l, pause_at_ns);
			continue;
		}
		c->tx->flushed = true;
		if (lode_fec_encoder_flush(c->tx->encoder, FLUSH_CREDIT_Q8, &repair))
			send_repair(l, b, cls, &repair);
	}
}

void repair_pull(struct lode_lane *l, struct lode_burst *b)
{
	if (lode_likely(b->now_ns < l->repair->due_ns))
		return;
	l->repair->due_ns = LODE_NEVER_NS;
	repair_ask(l, b);
	send_what_was_asked(l, b);
	flush_pauses(l, b);
}

/* ---- the stage ---- */

/* A class gets a slot when something of its paths was lost, or parity is wanted. */
static bool has_slot(struct lode_lane *l, struct class_repair *c, uint64_t now_ns)
{
	if (lode_likely(c->tx != NULL))
		return true;
	bool lossy = c->lossy_ns != 0 && now_ns - c->lossy_ns < REPAIR_IDLE_NS;
	if (c->cache.decision.rate_q8 == 0 && !(c->cache.decision.nack && lossy))
		return false;
	c->tx = repair_take_tx(l);
	if (c->tx == NULL)
		lode_counter_add(&l->counters.repair_no_slot, 1);
	return c->tx != NULL;
}

static void protect_one(struct lode_lane *l, struct lode_burst *b, struct rte_mbuf *m)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	struct class_repair *c = &l->repair->classes[pkt->cls];
	c->n_sent[pkt->path]++;
	c->stats.tx_sources++;
	c->stats.tx_source_bytes += m->data_len;
	if (!has_slot(l, c, b->now_ns))
		return;
	if (c->cache.left_pkts == 0)
		repair_refresh(l, pkt->cls, b->now_ns);
	uint16_t rate_q8 = lode_repair_cache_rate(&c->cache, b->now_ns);
	/* What was lost before a long pause would be computed from what comes after it. */
	if (b->now_ns - c->tx->used_ns > c->deadline_ns)
		lode_fec_encoder_restart(c->tx->encoder);
	c->tx->used_ns = b->now_ns;
	c->tx->tos = pkt->outer_tos;
	c->tx->path = pkt->path;
	c->tx->flushed = false;
	if (rate_q8 > 0)
		encode(l, b, m, rate_q8);
	if (c->cache.decision.nack)
		remember(c->tx, m, b->now_ns);
}

/* Parts were appended to the burst, but a code wants its sources in sequence. */
static void sort_into(struct rte_mbuf **sorted, unsigned n, struct rte_mbuf *m)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	unsigned i = n;
	for (; i > 0; i--) {
		const struct lode_pkt *before = lode_pkt(sorted[i - 1]);
		if (before->cls < pkt->cls ||
			(before->cls == pkt->cls &&
				lode_wire_seq_diff(before->segment.seq, pkt->segment.seq) < 0))
			break;
		sorted[i] = sorted[i - 1];
	}
	sorted[i] = m;
}

void repair_protect(struct lode_lane *l, struct lode_burst *b)
{
	struct rte_mbuf *sources[LODE_BURST_MAX];
	unsigned n = 0;
	if (lode_likely(l->repair->sending == 0))
		return;
	for (unsigned i = 0; i < b->n; i++) {
		const struct lode_pkt *pkt = lode_pkt(b->pkts[i]);
		if (!(pkt->segment.flags & TX_MADE) && (l->repair->sending & 1u << pkt->cls))
			sort_into(sources, n++, b->pkts[i]);
	}
	for (unsigned i = 0; i < n; i++)
		protect_one(l, b, sources[i]);
}
