/* SPDX-License-Identifier: BSD-3-Clause */
/* Two ends of one path (lib/path) that only probe each other, over a wire with a delay, a little jitter and
 * losses. Days of it, to count how often life is misjudged; then cuts, to see how soon death is. */
#include "path_life.h"
#include "lode_path.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MS	  LODE_NS_PER_MS
#define S	  LODE_NS_PER_S
#define FLIGHT	  256
#define DAYS	  4
#define CUTS	  200
#define TALK_NS	  (120 * S) /* a data packet now and then, so that probes stay at 50 ms */
#define JITTER_NS (2.0 * (double)MS)
#define OUTER	  (28 + LODE_WIRE_CONTROL_OVERHEAD)

struct message {
	uint64_t due_ns, pn;
	uint32_t tx_us, len; /* len 0: data */
	uint8_t control[LODE_PATH_CONTROL_MAX];
};

struct end {
	struct lode_path *path;
	uint64_t pn, talk_ns;
	double loss; /* of what it sends */
	struct message flight[FLIGHT];
	unsigned first, n;
	enum lode_path_state state;
};

struct wire {
	struct end end[2];
	struct lode_rng rng;
	uint64_t now_ns, delay_ns;
};

static void emit(struct wire *w, struct end *e, const uint8_t *control, size_t len)
{
	uint32_t tx_us = lode_path_tx_us(w->now_ns);
	lode_path_sent(
		e->path, w->now_ns, (uint32_t)len + OUTER, tx_us, len ? LODE_PATH_CONTROL : 0);
	uint64_t pn = e->pn++, jitter_ns = (uint64_t)(JITTER_NS * lode_rng_unit(&w->rng));
	if (lode_rng_unit(&w->rng) < e->loss || e->n == FLIGHT)
		return;
	struct message *m = &e->flight[(e->first + e->n++) % FLIGHT];
	m->due_ns = w->now_ns + w->delay_ns + jitter_ns;
	m->pn = pn;
	m->tx_us = tx_us;
	m->len = (uint32_t)len;
	if (len)
		memcpy(m->control, control, len);
}

static void receive(struct wire *w, struct end *from, struct end *to)
{
	while (from->n && from->flight[from->first].due_ns <= w->now_ns) {
		const struct message *m = &from->flight[from->first];
		struct lode_wire_tlv tlv;
		size_t pos = 0;
		lode_path_received(to->path, w->now_ns, m->pn, m->len + OUTER, m->tx_us,
			m->len ? LODE_PATH_CONTROL : 0);
		while (m->len && lode_wire_tlv_next(m->control, m->len, &pos, &tlv) == 1)
			lode_path_read_control(to->path, w->now_ns, m->tx_us, &tlv);
		from->first = (from->first + 1) % FLIGHT;
		from->n--;
	}
}

static void act(struct wire *w, struct end *e)
{
	uint8_t buf[LODE_PATH_CONTROL_MAX];
	struct lode_wire_writer writer;
	struct lode_wire_pmtu probe;
	lode_path_poll(e->path, w->now_ns);
	if (w->now_ns >= e->talk_ns) {
		e->talk_ns = w->now_ns + TALK_NS;
		emit(w, e, NULL, 0);
	}
	if (lode_path_control_due(e->path, w->now_ns)) {
		lode_wire_writer_init(&writer, buf, sizeof(buf));
		lode_path_write_control(e->path, w->now_ns, &writer);
		emit(w, e, buf, writer.len);
	}
	if (lode_path_pmtu_due(e->path, w->now_ns, &probe))
		lode_path_pmtu_sent(e->path, w->now_ns); /* as if the path took no larger ones */
	e->state = lode_path_state(e->path);
}

static uint64_t due_ns(const struct wire *w)
{
	uint64_t due = LODE_NEVER_NS;
	for (unsigned i = 0; i < 2; i++) {
		const struct end *e = &w->end[i];
		due = LODE_MIN(due, lode_path_next_due_ns(e->path));
		due = LODE_MIN(due, e->talk_ns);
		if (e->n)
			due = LODE_MIN(due, e->flight[e->first].due_ns);
	}
	return LODE_MAX(due, w->now_ns + 100 * LODE_NS_PER_US);
}

/* Until then, or until end 0 is in the state. */
static void run(struct wire *w, uint64_t until_ns, enum lode_path_state state)
{
	while (w->now_ns < until_ns) {
		w->now_ns = LODE_MIN(due_ns(w), until_ns);
		receive(w, &w->end[0], &w->end[1]);
		receive(w, &w->end[1], &w->end[0]);
		act(w, &w->end[0]);
		act(w, &w->end[1]);
		if (w->end[0].state == state)
			return;
	}
}

static struct wire *open_wire(uint64_t delay_ns, double loss, uint64_t seed)
{
	struct wire *w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	w->delay_ns = delay_ns;
	w->end[0].loss = loss; /* one way: so much of the round trips */
	lode_rng_seed(&w->rng, seed);
	for (unsigned i = 0; i < 2; i++) {
		struct lode_path_params params = {
			.link_mtu_bytes = 1280, .remote_known = true, .seed = seed + i};
		void *memory = aligned_alloc(64, (lode_path_bytes() + 63) / 64 * 64);
		if (!memory)
			abort();
		w->end[i].path = lode_path_init(memory, &params, 0);
	}
	return w;
}

static void close_wire(struct wire *w)
{
	free(w->end[0].path);
	free(w->end[1].path);
	free(w);
}

static void misjudged_rows(struct lode_perf *p, const char *name, uint64_t delay_ns)
{
	struct wire *w = open_wire(delay_ns, .05, 7);
	struct lode_path_stats stats;
	run(w, DAYS * 86400 * S, LODE_PATH_UNKNOWN + 100);
	lode_path_get_stats(w->end[0].path, &stats);
	lode_perf_row(p, name, "false downs", (double)stats.n_downs / DAYS, "1/day", NULL, NAN);
	lode_perf_row(p, name, "suspects", (double)stats.n_suspects / DAYS, "1/day", NULL, NAN);
	close_wire(w);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* From the moment at which the wire is cut, and from the last packet that could have come back. */
static void cut_rows(struct lode_perf *p, const char *name, uint64_t delay_ns)
{
	double suspect_ms[CUTS], down_ms[CUTS];
	for (unsigned i = 0; i < CUTS; i++) {
		struct wire *w = open_wire(delay_ns, 0, i + 1);
		run(w, 3 * S + i * MS, LODE_PATH_UNKNOWN + 100);
		uint64_t cut_ns = w->now_ns;
		w->end[0].loss = 1;
		run(w, cut_ns + 5 * S, LODE_PATH_SUSPECT);
		suspect_ms[i] = (double)(w->now_ns - cut_ns) / (double)MS;
		run(w, cut_ns + 5 * S, LODE_PATH_DOWN);
		down_ms[i] = (double)(w->now_ns - cut_ns) / (double)MS;
		close_wire(w);
	}
	qsort(suspect_ms, CUTS, sizeof(double), by_value);
	qsort(down_ms, CUTS, sizeof(double), by_value);
	lode_perf_row(p, name, "suspect p50", suspect_ms[CUTS / 2], "ms", NULL, NAN);
	lode_perf_row(p, name, "suspect max", suspect_ms[CUTS - 1], "ms", NULL, NAN);
	lode_perf_row(p, name, "down p50", down_ms[CUTS / 2], "ms", NULL, NAN);
	lode_perf_row(p, name, "down max", down_ms[CUTS - 1], "ms", NULL, NAN);
}

void path_life_rows(struct lode_perf *p)
{
	static const unsigned rtts_ms[] = {20, 60, 200};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(rtts_ms); i++) {
		char name[64];
		snprintf(name, sizeof(name), "life: 5%% loss, RTT %u ms", rtts_ms[i]);
		if (lode_perf_wanted(p, name))
			misjudged_rows(p, name, rtts_ms[i] * MS / 2);
		snprintf(name, sizeof(name), "life: cut, RTT %u ms", rtts_ms[i]);
		if (lode_perf_wanted(p, name))
			cut_rows(p, name, rtts_ms[i] * MS / 2);
	}
}
