/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy part of one 10 ms tick of control: 64 peers, 6 classes, 4 paths, whose figures change every time.
 * Everything but reading the lanes' summaries, which happens as often without any selector. */
#include "path_tick.h"
#include "control.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PATHS 4
#define TICKS 2000
#define TURNS 7

static void no_log(void *ctx, enum lode_log_level level, const char *text)
{
}

static struct lode_config *make_config(void)
{
	struct lode_config *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->n_peers = LODE_PEERS_MAX;
	c->n_ports = PATHS;
	c->selector.margin = lode_selector_defaults.margin;
	c->selector.return_us = (uint32_t)(lode_selector_defaults.ripe_ns / LODE_NS_PER_US);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		c->classes[cls].copies = 1;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		snprintf(c->peers[i].name, LODE_NAME_MAX, "peer%u", i);
		c->peers[i].n_links = PATHS;
		for (unsigned p = 0; p < PATHS; p++) {
			snprintf(c->peers[i].links[p].name, LODE_NAME_MAX, "link%u", p);
			c->peers[i].links[p].cost = 1;
		}
	}
	return c;
}

static void fill_peer(struct lode_control *c, unsigned i)
{
	struct peer_slot *slot = &c->peers[i];
	slot->elapsed_ns = TICK_NS;
	slot->view = calloc(1, sizeof(*slot->view));
	if (!slot->view || selector_sync(c, i, 1))
		abort();
	for (unsigned p = 0; p < PATHS; p++) {
		slot->view->paths[p].valid = true;
		slot->view->paths[p].port_idx = (uint8_t)p;
		snprintf(slot->view->paths[p].name, LODE_NAME_MAX, "link%u", p);
	}
}

/* Round trips that wander, some traffic with some losses. */
static void change(struct lode_control *c, struct lode_rng *rng)
{
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		for (unsigned p = 0; p < PATHS; p++) {
			struct lode_path_summary *s = &c->peers[i].summary.paths[p];
			s->state = LODE_PATH_UP;
			s->srtt_us = 20000 + 8000 * p + (uint32_t)lode_rng_below(rng, 4000);
			s->jitter_us = (uint32_t)lode_rng_below(rng, 3000);
			s->pacing_kbps = 100000;
			s->tx_pkts += 10;
			s->tx_bytes += 10000;
			s->lost_pkts += lode_rng_below(rng, 100) == 0;
			c->peers[i].summary.classes[p].tx_path[p] += 10;
		}
}

/* The times of TICKS ticks of a fresh control, where they are less than what is there. */
static void run_ticks(double *least_us)
{
	struct lode_control *c = calloc(1, sizeof(*c));
	struct lode_shared *shared = calloc(1, sizeof(*shared));
	struct lode_prepared prepared = {.config = make_config()};
	struct lode_rng rng;
	if (!c || !shared)
		abort();
	c->prepared = &prepared;
	c->params.shared = shared;
	c->params.log = no_log;
	lode_rng_seed(&rng, 1);
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		fill_peer(c, i);
	for (unsigned tick = 0; tick < TICKS; tick++) {
		change(c, &rng);
		c->now_ns += TICK_NS;
		uint64_t start = lode_perf_cpu_ns();
		quota_compare(c);
		for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
			quota_count(c, &c->peers[i]);
			update_policy(c, i, c->now_ns);
		}
		double us = (double)(lode_perf_cpu_ns() - start) / 1e3;
		least_us[tick] = LODE_MIN(least_us[tick], us);
	}
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		free(c->peers[i].view);
		free(c->peers[i].selector);
	}
	free(prepared.config);
	free(shared);
	free(c);
}

/* The same ticks again and again: what others took of the processor differs, what a tick costs does not. */
void path_tick_rows(struct lode_perf *p)
{
	const char *name = "cost: tick, 64 peers, 4 paths";
	double *us = malloc(TICKS * sizeof(*us)), worst = 0, sum = 0, best = INFINITY;
	if (!us)
		abort();
	for (unsigned tick = 0; tick < TICKS; tick++)
		us[tick] = INFINITY;
	for (unsigned turn = 0; turn < TURNS && lode_perf_wanted(p, name); turn++)
		run_ticks(us);
	for (unsigned tick = 1; tick < TICKS; tick++) {
		sum += us[tick];
		worst = LODE_MAX(worst, us[tick]);
		best = LODE_MIN(best, us[tick]);
	}
	if (!isinf(best)) {
		lode_perf_row(p, name, "first, all 384 decide", us[0], "us", NULL, NAN);
		lode_perf_row(p, name, "mean of the others", sum / (TICKS - 1), "us", NULL, NAN);
		lode_perf_row(p, name, "least", best, "us", NULL, NAN);
		lode_perf_row(p, name, "worst", worst, "us", NULL, NAN);
	}
	free(us);
}
