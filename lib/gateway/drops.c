/* SPDX-License-Identifier: BSD-3-Clause */
/* Why packets are lost: every reason with its count, its rate over the last second, and the first and the
 * newest packet. Counters and examples come from the workers; this file belongs to whoever holds the lock. */
#include "gateway.h"
#include "views.h"

#include <stdio.h>
#include <stdlib.h>

#define RATE_NS LODE_NS_PER_S

struct reason {
	const char *table; /* worker, lane, loop */
	const struct lode_counter_desc *desc;
	uint64_t count, then, per_s;
	struct drop_example {
		struct lode_drop_example drop;
		unsigned worker_idx;
		bool valid;
	} first, last;
};

#define REASONS_MAX                                                                 \
	((sizeof(struct lode_worker_counters) + sizeof(struct lode_lane_counters) + \
		 sizeof(struct worker_run_counters)) /                              \
		sizeof(uint64_t))

struct drops {
	uint64_t rated_ns;
	unsigned n;
	/* Rows of each table stand together, in its order; rows that are no drops have no desc. */
	unsigned worker, lane, loop;
	struct reason reasons[REASONS_MAX];
};

static unsigned add_table(
	struct drops *d, const char *table, const struct lode_counter_desc *descs, unsigned n)
{
	unsigned first = d->n;
	for (unsigned i = 0; i < n; i++, d->n++) {
		bool is_drop = !strncmp(descs[i].name, "drop_", 5);
		d->reasons[d->n] =
			(struct reason){.table = table, .desc = is_drop ? &descs[i] : NULL};
	}
	return first;
}

int start_drops(struct gateway *g, struct lode_err *err)
{
	struct drops *d = calloc(1, sizeof(*d));
	if (!d)
		return lode_err_set(err, -ENOMEM, "no memory");
	d->worker = add_table(d, "worker", lode_worker_counter_descs, lode_worker_n_counters);
	d->lane = add_table(d, "lane", lode_lane_counter_descs, lode_lane_n_counters);
	d->loop = add_table(d, "loop", worker_run_counter_descs, n_worker_run_counters);
	g->drops = d;
	return 0;
}

void stop_drops(struct gateway *g)
{
	free(g->drops);
	g->drops = NULL;
}

/* ---- examples ---- */

static struct reason *reason_of(struct drops *d, const struct lode_drop_example *e)
{
	unsigned first = e->in_lane ? d->lane : d->worker;
	for (unsigned i = first; i < d->n; i++)
		if (d->reasons[i].desc && d->reasons[i].desc->name == e->reason)
			return &d->reasons[i];
	return NULL;
}

static void take_examples(struct gateway *g)
{
	struct drop_example e = {.valid = true};
	for (unsigned w = 0; w < g->config->n_workers; w++) {
		struct lode_ring *ring = lode_worker_rings(g->workers[w].worker)->drops;
		e.worker_idx = w;
		while (lode_ring_pop(ring, &e.drop)) {
			struct reason *r = reason_of(g->drops, &e.drop);
			if (!r)
				continue;
			if (!r->first.valid || e.drop.now_ns < r->first.drop.now_ns)
				r->first = e;
			if (!r->last.valid || e.drop.now_ns >= r->last.drop.now_ns)
				r->last = e;
		}
	}
}

/* ---- counts and rates ---- */

static void add_counts(struct reason *rows, unsigned n, const void *counters)
{
	for (unsigned i = 0; i < n; i++)
		if (rows[i].desc)
			rows[i].count += lode_counter_read((const uint64_t *)counters + i);
}

static void count(struct gateway *g)
{
	struct drops *d = g->drops;
	for (unsigned i = 0; i < d->n; i++)
		d->reasons[i].count = 0;
	for (unsigned w = 0; w < g->config->n_workers; w++) {
		const struct worker_run *r = &g->workers[w];
		add_counts(&d->reasons[d->loop], n_worker_run_counters, &r->counters);
		add_counts(&d->reasons[d->worker], lode_worker_n_counters,
			lode_worker_counters(r->worker));
		add_counts(&d->reasons[d->lane], lode_lane_n_counters,
			lode_worker_gone_lanes(r->worker));
		for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
			const struct lode_lane *l = lode_worker_lane(r->worker, i);
			if (l)
				add_counts(&d->reasons[d->lane], lode_lane_n_counters,
					lode_lane_counters(l));
		}
	}
}

void drops_run(struct gateway *g, uint64_t now)
{
	struct drops *d = g->drops;
	take_examples(g);
	if (now - d->rated_ns < RATE_NS)
		return;
	count(g);
	for (unsigned i = 0; i < d->n; i++) {
		struct reason *r = &d->reasons[i];
		/* Read while a lane is closed, it may be less for a moment. */
		uint64_t more = r->count > r->then ? r->count - r->then : 0;
		r->per_s = d->rated_ns ? more * LODE_NS_PER_S / (now - d->rated_ns) : 0;
		r->then = r->count;
	}
	d->rated_ns = now;
}

/* ---- the view ---- */

static void put_example(
	struct gateway *g, struct lode_json *j, const char *key, const struct drop_example *e)
{
	char when[40], what[160], text[240];
	if (!e->valid)
		return;
	format_wall_time(e->drop.now_ns, when, sizeof(when));
	format_packet(g, &e->drop.id, what, sizeof(what));
	snprintf(text, sizeof(text), "%s %s", when, what);
	lode_json_string(j, key, text);
}

int view_drops(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct drops *d = g->drops;
	take_examples(g);
	bool known = !params[0];
	count(g);
	for (unsigned i = 0; i < d->n; i++) {
		const struct reason *r = &d->reasons[i];
		char key[64];
		bool wanted = !params[0] || !strcmp(params, r->table);
		known |= wanted;
		if (!r->count || !wanted)
			continue;
		snprintf(key, sizeof(key), "%s/%s", r->table, r->desc->name + strlen("drop_"));
		lode_json_object(j, key);
		lode_json_u64(j, "count", r->count);
		lode_json_u64(j, "per_s", r->per_s);
		lode_json_string(j, "why", r->desc->help);
		put_example(g, j, "first", &r->first);
		put_example(g, j, "last", &r->last);
		lode_json_close_object(j);
	}
	return known ? 0
		     : lode_err_set(
			       err, -ENOENT, "drops of \"%.20s\": worker, lane or loop", params);
}
