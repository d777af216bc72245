/* SPDX-License-Identifier: BSD-3-Clause */
/* The heaviest conversations of each second, while somebody watches. A fixed table with one place per hash
 * value; who is there is voted out when others at that place sent more than it did meanwhile (Yang et al.,
 * Elastic Sketch, SIGCOMM 2018): the heavy ones stay, and their bytes are exact from the time they came. */
#include "worker.h"

#include <rte_malloc.h>

#define PLACES	  512
#define SECOND_NS LODE_NS_PER_S

struct place {
	struct five_tuple tuple; /* as sent from here */
	uint64_t tx_bytes, rx_bytes, against_bytes;
	uint32_t tx_pkts, rx_pkts; /* both 0: free */
	uint16_t len_bytes;
	uint8_t cls, rx_port, peer_idx;
};

struct talkers {
	uint64_t since_ns;
	struct place places[PLACES];
};

struct talkers *talkers_new(int socket_id)
{
	return rte_zmalloc_socket("talkers", sizeof(struct talkers), LODE_CACHE_LINE, socket_id);
}

void talkers_free(struct talkers *t)
{
	rte_free(t);
}

static struct five_tuple reversed(const struct five_tuple *t)
{
	struct five_tuple r = *t;
	r.src = t->dst;
	r.dst = t->src;
	r.sport_be = t->dport_be;
	r.dport_be = t->sport_be;
	return r;
}

static uint64_t heard(const struct place *p)
{
	return p->tx_bytes + p->rx_bytes;
}

static void count(struct place *p, const struct five_tuple *tuple, struct rte_mbuf *m,
	uint8_t peer_idx, bool to_peer)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	uint16_t bytes = rte_pktmbuf_data_len(m);
	bool free_place = p->tx_pkts + p->rx_pkts == 0;
	if (!free_place && memcmp(&p->tuple, tuple, sizeof(*tuple)) != 0) {
		p->against_bytes += bytes;
		if (p->against_bytes <= heard(p))
			return;
		free_place = true;
	}
	if (free_place)
		*p = (struct place){.tuple = *tuple, .rx_port = pkt->rx_port, .peer_idx = peer_idx};
	p->cls = pkt->cls;
	p->len_bytes = bytes;
	*(to_peer ? &p->tx_bytes : &p->rx_bytes) += bytes;
	*(to_peer ? &p->tx_pkts : &p->rx_pkts) += 1;
}

void talkers_count(struct lode_worker *w, const struct packets *p, bool to_peer)
{
	for (unsigned i = 0; i < p->n; i++) {
		struct rte_mbuf *m = p->pkts[i];
		const struct five_tuple *t = &p->ip[i].tuple;
		struct five_tuple ours = to_peer ? *t : reversed(t);
		struct place *place = &w->talkers->places[flow_symmetric_hash(t) / 64 % PLACES];
		count(place, &ours, m, to_peer ? area(m)->peer_idx : lode_pkt(m)->from_peer,
			to_peer);
	}
}

static void report(struct lode_worker *w, const struct place *p, uint64_t now_ns)
{
	const struct lode_packet_id id = {
		.src = p->tuple.src,
		.dst = p->tuple.dst,
		.sport = __builtin_bswap16(p->tuple.sport_be),
		.dport = __builtin_bswap16(p->tuple.dport_be),
		.protocol = p->tuple.protocol,
		.cls = p->cls,
		.rx_port = p->rx_port,
		.peer_idx = p->peer_idx,
		.len_bytes = p->len_bytes,
	};
	const struct lode_talker talker = {.id = id,
		.tx_bytes = p->tx_bytes,
		.rx_bytes = p->rx_bytes,
		.tx_pkts = p->tx_pkts,
		.rx_pkts = p->rx_pkts,
		.since_ns = w->talkers->since_ns,
		.until_ns = now_ns};
	lode_ring_push(w->rings.talkers, &talker);
}

/* The heaviest, heaviest first: most places lose against the lightest of those already chosen. */
static void report_all(struct lode_worker *w, uint64_t now_ns)
{
	const struct place *best[LODE_TALKERS_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < PLACES; i++) {
		const struct place *p = &w->talkers->places[i];
		if (heard(p) == 0 || (n == LODE_TALKERS_MAX && heard(p) <= heard(best[n - 1])))
			continue;
		unsigned at = n < LODE_TALKERS_MAX ? n++ : n - 1;
		for (; at > 0 && heard(best[at - 1]) < heard(p); at--)
			best[at] = best[at - 1];
		best[at] = p;
	}
	for (unsigned i = 0; i < n; i++)
		report(w, best[i], now_ns);
}

void talkers_turn(struct lode_worker *w, uint64_t now_ns)
{
	uint64_t until_ns = atomic_load_explicit(&w->talkers_until_ns, memory_order_relaxed);
	if (lode_likely(w->talkers == NULL && until_ns <= now_ns))
		return;
	if (w->talkers != NULL && now_ns - w->talkers->since_ns < SECOND_NS)
		return;
	if (w->talkers != NULL)
		report_all(w, now_ns);
	w->talkers = until_ns > now_ns ? w->talkers_memory : NULL;
	if (w->talkers != NULL) {
		memset(w->talkers, 0, sizeof(*w->talkers));
		w->talkers->since_ns = now_ns;
	}
}

void lode_worker_watch_talkers(struct lode_worker *w, uint64_t until_ns)
{
	atomic_store_explicit(&w->talkers_until_ns, until_ns, memory_order_relaxed);
}
