/* SPDX-License-Identifier: BSD-3-Clause */
/* The heaviest conversations of the last second. Asking makes the workers count for some seconds more, so the
 * first answer is empty. Under the lock. */
#include "views.h"

#include <stdio.h>
#include <stdlib.h>

#define WATCH_NS (5 * LODE_NS_PER_S)
#define STALE_NS (3 * LODE_NS_PER_S)

/* A worker reports a second at once: those of another one before are old. */
static void take(struct worker_run *r)
{
	struct lode_talker t;
	while (lode_ring_pop(lode_worker_rings(r->worker)->talkers, &t)) {
		if (r->n_talkers && r->talkers[0].until_ns != t.until_ns)
			r->n_talkers = 0;
		if (r->n_talkers < LODE_TALKERS_MAX)
			r->talkers[r->n_talkers++] = t;
	}
}

static bool same_conversation(const struct lode_packet_id *a, const struct lode_packet_id *b)
{
	return a->protocol == b->protocol && a->sport == b->sport && a->dport == b->dport &&
	       !memcmp(&a->src, &b->src, sizeof(a->src)) &&
	       !memcmp(&a->dst, &b->dst, sizeof(a->dst));
}

static uint64_t per_second(uint64_t n, const struct lode_talker *t)
{
	return n * LODE_NS_PER_S / LODE_MAX(t->until_ns - t->since_ns, 1ull);
}

/* Lanes of one conversation may belong to two workers, one each way. */
static unsigned merge(const struct gateway *g, struct lode_talker *all)
{
	unsigned n = 0;
	for (unsigned w = 0; w < g->config->n_workers; w++)
		for (unsigned i = 0; i < g->workers[w].n_talkers; i++) {
			const struct lode_talker *t = &g->workers[w].talkers[i];
			unsigned k = 0;
			while (k < n && !same_conversation(&all[k].id, &t->id))
				k++;
			if (k == n) {
				all[n++] = *t;
				continue;
			}
			all[k].tx_bytes += t->tx_bytes;
			all[k].rx_bytes += t->rx_bytes;
			all[k].tx_pkts += t->tx_pkts;
			all[k].rx_pkts += t->rx_pkts;
		}
	return n;
}

static int heavier_first(const void *a, const void *b)
{
	const struct lode_talker *x = a, *y = b;
	uint64_t nx = x->tx_bytes + x->rx_bytes, ny = y->tx_bytes + y->rx_bytes;
	return (nx < ny) - (nx > ny);
}

static void put_talker(
	struct gateway *g, unsigned place, const struct lode_talker *t, struct lode_json *j)
{
	char key[24], text[INET6_ADDRSTRLEN + 10], protocol[12];
	const struct lode_config *c = lode_control_config(g->control);
	snprintf(key, sizeof(key), "%u", place);
	lode_json_object(j, key);
	lode_json_string(j, "proto", format_protocol(t->id.protocol, protocol));
	format_endpoint(&t->id.src, t->id.sport, text, sizeof(text));
	lode_json_string(j, "here", text);
	format_endpoint(&t->id.dst, t->id.dport, text, sizeof(text));
	lode_json_string(j, "there", text);
	lode_json_string(
		j, "peer", t->id.peer_idx < c->n_peers ? c->peers[t->id.peer_idx].name : "gone");
	lode_json_string(j, "class", lode_class_name((enum lode_class)t->id.cls));
	lode_json_u64(j, "tx_kbps", per_second(t->tx_bytes, t) * 8 / 1000);
	lode_json_u64(j, "rx_kbps", per_second(t->rx_bytes, t) * 8 / 1000);
	lode_json_u64(j, "tx_pps", per_second(t->tx_pkts, t));
	lode_json_u64(j, "rx_pps", per_second(t->rx_pkts, t));
	lode_json_close_object(j);
}

int view_talkers(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct lode_talker all[LODE_WORKERS_MAX * LODE_TALKERS_MAX];
	uint64_t now = now_ns();
	for (unsigned w = 0; w < g->config->n_workers; w++) {
		struct worker_run *r = &g->workers[w];
		lode_worker_watch_talkers(r->worker, now + WATCH_NS);
		take(r);
		if (r->n_talkers && now - r->talkers[0].until_ns > STALE_NS)
			r->n_talkers = 0;
	}
	unsigned n = merge(g, all);
	qsort(all, n, sizeof(all[0]), heavier_first);
	for (unsigned i = 0; i < n && i < LODE_TALKERS_MAX; i++)
		put_talker(g, i + 1, &all[i], j);
	return 0;
}
