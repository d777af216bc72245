/* SPDX-License-Identifier: BSD-3-Clause */
/* Stages: segments become datagrams. */
#include "lane.h"

/* ---- seal ---- */

/* What datagrams of one type and path have in common: nearly always the whole burst. */
struct envelope {
	unsigned kind; /* kind_of all of them */
	uint64_t *next_number;
	uint64_t clear_word, nonce; /* with number 0 */
};

static inline unsigned kind_of(const struct lode_pkt *pkt)
{
	return (pkt->segment.flags & (TX_CONTROL | TX_REPAIR)) | pkt->path;
}

static struct envelope envelope_of(struct lode_lane *l, const struct lode_pkt *pkt)
{
	const struct lode_epoch_view *epoch = &l->view->epochs[l->view->tx_epoch];
	uint8_t flags = pkt->segment.flags;
	struct lode_wire_clear clear = {.type = flags & TX_CONTROL  ? LODE_WIRE_CONTROL
						: flags & TX_REPAIR ? LODE_WIRE_REPAIR
								    : LODE_WIRE_DATA,
		.version = epoch->version,
		.key_phase = epoch->tx_phase,
		.path = pkt->path,
		.lane = l->lane_id,
		.session = epoch->tx_session};
	return (struct envelope){.kind = kind_of(pkt),
		.next_number = &l->path[pkt->path].next_number,
		.clear_word = lode_wire_clear_word(&clear),
		.nonce = lode_wire_nonce(pkt->path, l->lane_id, 0)};
}

void seal_segments(struct lode_lane *l, struct lode_burst *b)
{
	const struct lode_epoch_view *epoch = &l->view->epochs[l->view->tx_epoch];
	struct envelope e = {.kind = LODE_NO_PATH};
	struct lode_aead_op ops[LODE_BURST_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		struct lode_pkt *pkt = lode_pkt(m);
		uint16_t text_bytes = m->data_len;
		uint8_t *header = lode_pkt_push(m, LODE_WIRE_CLEAR_BYTES);
		if (header == NULL || lode_pkt_append(m, LODE_WIRE_TAG_BYTES) == NULL) {
			lane_drop(l, m, &l->counters.drop_tx_headroom);
			lode_burst_take(b, i);
			continue;
		}
		if (lode_unlikely(kind_of(pkt) != e.kind))
			e = envelope_of(l, pkt);
		uint64_t number = (*e.next_number)++;
		lode_store_be64(header, e.clear_word | (uint32_t)number);
		pkt->number = number; /* from here on, in place of the segment's fields */
		ops[n++] = (struct lode_aead_op){.data = header,
			.nonce = e.nonce | number,
			.aad_bytes = LODE_WIRE_CLEAR_BYTES,
			.text_bytes = text_bytes};
	}
	lode_aead_seal_burst(epoch->tx_key[l->lane_id], ops, n);
	l->tx_packets += n;
}

/* ---- send ---- */

struct sent {
	uint32_t pkts, data_pkts, bytes;
};

static void account_sent(
	struct lode_lane *l, const struct sent sent[LODE_LINKS_MAX], uint64_t now_ns)
{
	uint32_t tx_us = lode_path_tx_us(now_ns);
	uint64_t pkts = 0, bytes = 0;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		unsigned flags = sent[p].data_pkts == 0 ? LODE_PATH_CONTROL : 0;
		if (sent[p].pkts == 0)
			continue;
		lode_path_sent_burst(
			l->path[p].est, now_ns, sent[p].pkts, sent[p].bytes, tx_us, flags);
		l->stirred |= (uint8_t)(1u << p);
		pkts += sent[p].pkts;
		bytes += sent[p].bytes;
	}
	lode_counter_add(&l->counters.tx_datagrams, pkts);
	lode_counter_add(&l->counters.tx_bytes, bytes);
}

void send_datagrams(struct lode_lane *l, struct lode_burst *b)
{
	struct sent sent[LODE_LINKS_MAX] = {0}, *s = NULL;
	struct lane_path *path = NULL; /* nearly always one for all */
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		const struct lode_pkt *pkt = lode_pkt(m);
		if (s != &sent[pkt->path]) {
			s = &sent[pkt->path];
			path = &l->path[pkt->path];
		}
		bool data = !is_control(m);
		if (lode_unlikely(outer_push(&path->outer, m, pkt->outer_tos) < 0)) {
			lane_drop(l, m, &l->counters.drop_tx_headroom);
			lode_burst_take(b, i);
			continue;
		}
		s->pkts++;
		s->data_pkts += data;
		s->bytes += m->data_len - path->outer.l3_off;
		struct lode_txq *q = path->txq;
		q->mbufs[q->n++] = m;
	}
	account_sent(l, sent, b->now_ns);
}
