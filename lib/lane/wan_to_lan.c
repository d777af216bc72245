/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens to a datagram from the WAN. Eight stages, in order:
 *
 *   check    clear header: type, version, key, replay window; nothing is spent on what cannot be ours
 *   open     authentication and decryption
 *   account  replay window, path estimators, newest address of the peer
 *   control  messages of the paths leave the burst here
 *   segment  segment header; duplicates and copies out
 *   keep     sources are remembered while parity comes; repairs are used after the burst (repair_rx.c)
 *   parts    packets that came in parts are put together
 *   order    bundles are taken apart; each packet goes on when its predecessor of the same flow has, or at
 *            its deadline
 *
 * What is released goes to the worker, which routes it again. Every reason to lose a packet is a counter
 * drop_rx_*. Held packets are let out by deadline in lode_lane_poll. */
#include "order.h"

#define DATA_MIN_BYTES	  LODE_WIRE_OVERHEAD
#define CONTROL_MIN_BYTES LODE_WIRE_CONTROL_OVERHEAD

static void take_out(struct lode_lane *l, struct lode_burst *b, unsigned i, uint64_t *reason)
{
	lane_drop(l, b->pkts[i], reason);
	lode_burst_take(b, i);
}

static uint8_t *text_of(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, uint8_t *) + LODE_WIRE_CLEAR_BYTES;
}

/* ---- check ---- */

/* What datagrams have in common whose clear headers differ in the number alone: nearly always the whole burst. */
struct kin {
	uint64_t front; /* what comes before the number, as stored; UINT64_MAX: none yet */
	uint8_t epoch, path;
	uint16_t min_bytes;
	uint64_t *refused; /* the reason; NULL: none */
	const struct lode_wire_replay *window;
};

/* Reason to refuse all datagrams with this clear header under that key; NULL: none. */
static uint64_t *refuse_all(
	struct lode_lane *l, const struct lode_wire_clear *clear, unsigned epoch_slot)
{
	struct lode_lane_counters *c = &l->counters;
	bool repair = clear->type == LODE_WIRE_REPAIR && l->repair->agreed;
	if (clear->type != LODE_WIRE_CONTROL && !repair && clear->type != LODE_WIRE_DATA)
		return &c->drop_rx_type;
	if (l->view == NULL || epoch_slot >= LODE_EPOCHS || clear->lane != l->lane_id)
		return &c->drop_rx_no_key;
	const struct lode_epoch_view *epoch = &l->view->epochs[epoch_slot];
	if (!epoch->rx_valid || epoch->rx_key[l->lane_id] == NULL)
		return &c->drop_rx_no_key;
	return clear->version != epoch->version ? &c->drop_rx_type : NULL;
}

static void find_kin(struct lode_lane *l, struct kin *k, const uint8_t *header, unsigned epoch)
{
	struct lode_wire_clear clear;
	lode_wire_get_clear(header, &clear);
	bool control = clear.type == LODE_WIRE_CONTROL;
	k->front = lode_load_le32(header);
	k->epoch = (uint8_t)epoch;
	k->path = clear.path;
	k->min_bytes = control ? CONTROL_MIN_BYTES : DATA_MIN_BYTES;
	k->refused = refuse_all(l, &clear, epoch);
	k->window = k->refused ? NULL : &l->replay[epoch][clear.path];
}

/* Reason to refuse the datagram before any work is put into it; NULL: none. k: of the one before. */
static inline uint64_t *refuse(struct lode_lane *l, struct kin *k, struct rte_mbuf *m)
{
	struct lode_pkt *pkt = lode_pkt(m);
	const uint8_t *header = rte_pktmbuf_mtod(m, const uint8_t *);
	if (m->data_len < LODE_WIRE_CLEAR_BYTES + LODE_WIRE_TAG_BYTES)
		return &l->counters.drop_rx_short;
	if (lode_load_le32(header) != k->front || pkt->epoch != k->epoch)
		find_kin(l, k, header, pkt->epoch);
	if (lode_unlikely(k->refused != NULL))
		return k->refused;
	if (m->data_len < k->min_bytes)
		return &l->counters.drop_rx_short;
	pkt->path = k->path;
	pkt->number = lode_wire_replay_expand(k->window, lode_load_be32(header + 4));
	return lode_wire_replay_check(k->window, pkt->number) ? NULL : &l->counters.drop_rx_replay;
}

static void check(struct lode_lane *l, struct lode_burst *b)
{
	struct kin kin = {.front = UINT64_MAX};
	uint64_t bytes = 0;
	for (unsigned i = 0; i < b->n; i++) {
		bytes += b->pkts[i]->pkt_len;
		uint64_t *reason = refuse(l, &kin, b->pkts[i]);
		if (lode_unlikely(reason != NULL))
			take_out(l, b, i, reason);
	}
	lode_counter_add(&l->counters.rx_datagrams, b->n);
	lode_counter_add(&l->counters.rx_bytes, bytes);
}

/* ---- open ---- */

static void open_datagrams(struct lode_lane *l, struct lode_burst *b)
{
	struct lode_aead_op ops[LODE_BURST_MAX];
	/* Runs of datagrams under one key; nearly always one run. */
	for (unsigned first = 0, n; first < b->n; first += n) {
		uint8_t slot = lode_pkt(b->pkts[first])->epoch;
		for (n = 0; first + n < b->n; n++) {
			struct rte_mbuf *m = b->pkts[first + n];
			const struct lode_pkt *pkt = lode_pkt(m);
			if (pkt->epoch != slot)
				break;
			ops[n] = (struct lode_aead_op){.data = rte_pktmbuf_mtod(m, uint8_t *),
				.nonce = lode_wire_nonce(pkt->path, l->lane_id, pkt->number),
				.aad_bytes = LODE_WIRE_CLEAR_BYTES,
				.text_bytes = (uint16_t)(m->data_len - LODE_WIRE_CLEAR_BYTES -
							 LODE_WIRE_TAG_BYTES)};
		}
		uint64_t good =
			lode_aead_open_burst(l->view->epochs[slot].rx_key[l->lane_id], ops, n);
		for (unsigned i = 0; i < n; i++) {
			if (lode_unlikely(!(good >> i & 1)))
				take_out(l, b, first + i, &l->counters.drop_rx_auth);
		}
	}
}

/* ---- account ---- */

static struct lode_path_arrival arrival_of(struct rte_mbuf *m, bool for_paths)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	return (struct lode_path_arrival){.pn = pkt->number,
		.bytes = (uint32_t)m->data_off - pkt->outer_off + m->data_len,
		/* Both kinds of text hold the sender's clock. */
		.tx_us = lode_load_be32(text_of(m) + (for_paths ? 0 : 4)),
		.flags = (pkt->outer_ecn == ECN_CE ? LODE_PATH_CE : 0) |
			 (for_paths ? LODE_PATH_CONTROL : 0)};
}

/* Path estimators get runs of datagrams of one path under one key; a burst from a port is nearly always
 * one run. */
static void account(struct lode_lane *l, struct lode_burst *b)
{
	struct lode_path_arrival run[LODE_BURST_MAX];
	struct lode_wire_replay *window = NULL;
	struct rte_mbuf *newest = NULL;
	unsigned n = 0, n_control = 0, n_repairs = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		const struct lode_pkt *pkt = lode_pkt(m);
		if (n == 0 || pkt->path != lode_pkt(newest)->path ||
			pkt->epoch != lode_pkt(newest)->epoch) {
			if (n > 0)
				paths_received(l, newest, run, n, b->now_ns);
			n = 0;
			window = &l->replay[pkt->epoch][pkt->path];
		}
		if (!lode_wire_replay_accept(window, pkt->number)) {
			take_out(l, b, i, &l->counters.drop_rx_replay);
			continue;
		}
		if (n == 0 || pkt->number > lode_pkt(newest)->number)
			newest = m;
		bool for_paths = is_control(m);
		n_control += for_paths;
		n_repairs += is_repair(m);
		run[n++] = arrival_of(m, for_paths);
	}
	if (n > 0)
		paths_received(l, newest, run, n, b->now_ns);
	l->n_control = n_control;
	l->n_repairs = n_repairs;
}

/* ---- control ---- */

static void control(struct lode_lane *l, struct lode_burst *b)
{
	for (unsigned i = 0; l->n_control > 0 && i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		if (lode_likely(!is_control(m)))
			continue;
		size_t len = m->data_len - LODE_WIRE_CLEAR_BYTES - LODE_WIRE_TAG_BYTES;
		paths_read_control(l, lode_pkt(m)->path, text_of(m), len, b->now_ns);
		lode_counter_add(&l->counters.rx_control, 1);
		rte_pktmbuf_free(m);
		lode_burst_take(b, i);
	}
}

/* ---- segment ---- */

/* A segment that is not the next one of its class. Reason to refuse it; NULL: none. */
static uint64_t *note_astray(
	struct lode_lane *l, unsigned path, const struct lode_wire_segment *s, uint64_t now_ns)
{
	struct class_window *w = &l->window[s->cls];
	uint32_t highest = w->highest;
	int32_t ahead = lode_wire_seq_diff(s->seq, highest);
	bool gap = w->started && ahead > 1;
	switch (order_note(w, s->seq)) {
	case ARRIVAL_NEW:
		break;
	case ARRIVAL_DUPLICATE:
		w->n_duplicates++;
		return &l->counters.drop_rx_duplicate;
	case ARRIVAL_LATE:
		return &l->counters.drop_rx_late;
	}
	if (gap && l->repair->agreed)
		repair_missing(l, s->cls, path, highest, s->seq, s->tx_us, now_ns);
	l->n_behind += ahead < 0;
	return NULL;
}

static inline uint64_t *read_segment(struct lode_lane *l, struct rte_mbuf *m, uint64_t now_ns)
{
	struct lode_lane_counters *c = &l->counters;
	struct lode_pkt *pkt = lode_pkt(m);
	struct lode_wire_segment s;
	if (lode_wire_get_segment(text_of(m), &s) < 0 || m->data_len == LODE_WIRE_OVERHEAD)
		return &c->drop_rx_malformed;
	if (s.encoding != 0)
		return &c->drop_rx_encoding;
	struct class_window *w = &l->window[s.cls];
	if (!order_note_next(w, s.seq)) {
		uint64_t *reason = note_astray(l, pkt->path, &s, now_ns);
		if (reason != NULL)
			return reason;
	}
	w->n_segments++;
	pkt->cls = s.cls;
	pkt->hop_limit = s.hop_limit;
	pkt->segment.seq = s.seq;
	pkt->segment.dist = s.dist;
	pkt->segment.flags = s.flags;
	l->n_parts += (s.flags & (LODE_WIRE_MORE | LODE_WIRE_CONT)) != 0;
	pkt->tx_us = s.tx_us;
	lode_pkt_pull(m, LODE_WIRE_CLEAR_BYTES + LODE_WIRE_SEGMENT_BYTES);
	lode_pkt_trim(m, LODE_WIRE_TAG_BYTES);
	return NULL;
}

/* A repair: after the burst, when all that came with it is known. */
static void set_aside(struct lode_lane *l, struct lode_burst *b, unsigned i)
{
	struct lode_wire_repair header;
	if (lode_wire_get_repair(text_of(b->pkts[i]), &header) < 0 ||
		b->pkts[i]->data_len == LODE_WIRE_OVERHEAD) {
		take_out(l, b, i, &l->counters.drop_rx_malformed);
		return;
	}
	lode_counter_add(&l->counters.rx_repairs, 1);
	l->env.pools->repair.arrived.pkts[l->env.pools->repair.arrived.n++] = b->pkts[i];
	lode_burst_take(b, i);
}

static void segment(struct lode_lane *l, struct lode_burst *b)
{
	unsigned n = 0;
	l->n_parts = l->n_behind = 0;
	for (unsigned i = 0; i < b->n; i++) {
		if (lode_unlikely(l->n_repairs > 0) && is_repair(b->pkts[i])) {
			set_aside(l, b, i);
			continue;
		}
		uint64_t *reason = read_segment(l, b->pkts[i], b->now_ns);
		if (reason != NULL)
			take_out(l, b, i, reason);
		else
			n++;
	}
	lode_counter_add(&l->counters.rx_segments, n);
}

/* ---- parts ---- */

static void parts(struct lode_lane *l, struct lode_burst *b)
{
	for (unsigned i = 0; l->n_parts > 0 && i < b->n; i++) {
		const struct lode_pkt *pkt = lode_pkt(b->pkts[i]);
		if (lode_likely(!(pkt->segment.flags & (LODE_WIRE_MORE | LODE_WIRE_CONT))))
			continue;
		lode_counter_add(&l->counters.rx_parts, 1);
		struct rte_mbuf *whole = order_part(l, b->pkts[i], pkt->cls, b->now_ns);
		if (whole != NULL)
			b->pkts[i] = whole;
		else
			lode_burst_take(b, i);
	}
}

/* ---- order ---- */

static void order_bundle(struct lode_lane *l, struct rte_mbuf *m, uint64_t now_ns)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	struct lode_wire_item item;
	size_t pos = 0;
	int ret;
	lode_counter_add(&l->counters.rx_bundles, 1);
	while ((ret = lode_wire_bundle_next(
			rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &pos, &item)) > 0) {
		if (item.len == 0) {
			ret = -EBADMSG;
			break;
		}
		struct rte_mbuf *one = rte_pktmbuf_alloc(l->env.mbufs);
		lode_counter_add(&l->counters.rx_unbundled, 1);
		char *to = one ? rte_pktmbuf_append(one, item.len) : NULL;
		if (to == NULL) {
			rte_pktmbuf_free(one);
			lode_counter_add(&l->counters.drop_rx_no_mbuf, 1);
			continue;
		}
		memcpy(to, item.data, item.len);
		*lode_pkt(one) = *pkt;
		order_packet(l, one, item.dist, now_ns);
	}
	if (ret < 0)
		lane_drop(l, m, &l->counters.drop_rx_malformed);
	else
		rte_pktmbuf_free(m);
}

static bool is_before(struct rte_mbuf *a, struct rte_mbuf *b)
{
	const struct lode_pkt *x = lode_pkt(a), *y = lode_pkt(b);
	return x->cls == y->cls ? lode_wire_seq_diff(x->segment.seq, y->segment.seq) < 0
				: x->cls < y->cls;
}

/* All segments of the burst have been noted as received: one in front of its predecessor would not wait. */
static void sort(struct lode_burst *b)
{
	for (unsigned i = 1; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		unsigned at = i;
		for (; at > 0 && is_before(m, b->pkts[at - 1]); at--)
			b->pkts[at] = b->pkts[at - 1];
		b->pkts[at] = m;
	}
}

static void order(struct lode_lane *l, struct lode_burst *b)
{
	if (lode_unlikely(l->n_behind > 0))
		sort(b);
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		const struct lode_pkt *pkt = lode_pkt(m);
		unsigned cls = pkt->cls;
		uint32_t seq = pkt->segment.seq;
		if (pkt->segment.flags & LODE_WIRE_BUNDLE)
			order_bundle(l, m, b->now_ns);
		else
			order_packet(l, m, pkt->segment.dist, b->now_ns);
		order_wake(l, cls, seq, b->now_ns);
	}
	b->n = 0;
}

const struct stage wan_to_lan[WAN_TO_LAN_STAGES] = {
	{"check", check},
	{"open", open_datagrams},
	{"account", account},
	{"control", control},
	{"segment", segment},
	{"keep", repair_keep},
	{"parts", parts},
	{"order", order},
};
