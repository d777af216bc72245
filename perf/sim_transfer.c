/* SPDX-License-Identifier: BSD-3-Clause */
/* One TCP transfer through two whole gateways over four paths, one of which goes bad on the way: what is left of
 * its rate, as a share of what the three others give it alone. Medians over seeds. */
#include "sim_transfer.h"

#include "lode_sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define S	  LODE_NS_PER_S
#define MS	  LODE_NS_PER_MS
#define PATHS	  4
#define VICTIM	  1
#define SEEDS	  7
#define BEGIN_NS  (2 * S)
#define FAULT_NS  (12 * S)
#define BEFORE_NS (4 * S)

static const struct lode_link_config links[PATHS] = {
	{.rate_bps = 20000000, .delay_ns = 5 * MS, .queue_pkts = 300},
	{.rate_bps = 20000000, .delay_ns = 10 * MS, .queue_pkts = 300},
	{.rate_bps = 20000000, .delay_ns = 15 * MS, .queue_pkts = 300},
	{.rate_bps = 20000000, .delay_ns = 20 * MS, .queue_pkts = 300},
};

/* After the fault. */
#define N_WINDOWS 3
static const struct {
	const char *name;
	uint64_t from_ns, to_ns;
} windows[N_WINDOWS] = {
	{"share in the first second", 0, 1 * S},
	{"share 1 to 4 s after", 1 * S, 4 * S},
	{"share 4 to 10 s after", 4 * S, 10 * S},
};

enum fault { HALF_LOST, LOST_OUT, LOST_BACK, SLOW, NARROW, N_FAULTS };
static const char *const names[N_FAULTS] = {
	[HALF_LOST] = "transfer, half lost",
	[LOST_OUT] = "transfer, half lost on the way out",
	[LOST_BACK] = "transfer, half lost on the way back",
	[SLOW] = "transfer, +200 ms round trip",
	[NARROW] = "transfer, 5 % of the rate",
};

struct outcome {
	double before_mbps, mbps[N_WINDOWS];
};

static void inflict(struct lode_sim *s, enum fault fault)
{
	for (unsigned site = 0; site < 2; site++) {
		struct lode_link_config link = links[VICTIM];
		bool out = site == 0;
		if (fault == HALF_LOST || fault == (out ? LOST_OUT : LOST_BACK))
			link.loss = .5;
		if (fault == SLOW)
			link.delay_ns += 100 * MS;
		if (fault == NARROW)
			link.rate_bps /= 20;
		lode_sim_set_link(s, site, VICTIM, LODE_SIM_UP, &link);
	}
}

static struct lode_sim *start(uint64_t seed)
{
	struct lode_err err;
	struct lode_sim_params params = {.seed = seed,
		.n_sites = 2,
		.n_wan_ports = PATHS,
		.n_workers = 1,
		.aead = "null",
		.n_mbufs = 65536,
		.n_flow_entries = 1024,
		.yaml = "rules: [{name: transfer, class: bulk, protocol: tcp}]\n"};
	const struct lode_sim_flow transfer = {.kind = LODE_SIM_TCP,
		.dst = 1,
		.pkt_bytes = 1500,
		.start_ns = BEGIN_NS,
		.stop_ns = LODE_NEVER_NS};
	memcpy(params.uplink, links, sizeof(links));
	struct lode_sim *s = lode_sim_new(&params, &err);
	if (s && lode_sim_add_flow(s, &transfer, &err) == 0)
		return s;
	fprintf(stderr, "sim: %s\n", err.msg);
	lode_sim_free(s);
	return NULL;
}

/* Goodput from here until then. */
static double mbps_until(struct lode_sim *s, uint64_t until_ns)
{
	const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, 0);
	uint64_t bytes = st->delivered_bytes, from_ns = lode_sim_now(s);
	lode_sim_run(s, until_ns);
	return (double)(st->delivered_bytes - bytes) * 8e3 / (double)(until_ns - from_ns);
}

/* fault N_FAULTS: the path is not there at all. */
static bool run(enum fault fault, uint64_t seed, struct outcome *out)
{
	struct lode_sim *s = start(seed);
	if (!s)
		return false;
	if (fault == N_FAULTS)
		lode_sim_cut(s, 0, VICTIM, true);
	lode_sim_run(s, FAULT_NS - BEFORE_NS);
	out->before_mbps = mbps_until(s, FAULT_NS);
	if (fault != N_FAULTS)
		inflict(s, fault);
	for (unsigned i = 0; i < N_WINDOWS; i++) {
		lode_sim_run(s, FAULT_NS + windows[i].from_ns);
		out->mbps[i] = mbps_until(s, FAULT_NS + windows[i].to_ns);
	}
	lode_sim_free(s);
	return true;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double v[SEEDS])
{
	qsort(v, SEEDS, sizeof(v[0]), by_value);
	return v[SEEDS / 2];
}

static void fault_rows(struct lode_perf *p, enum fault fault, const struct outcome alone[SEEDS])
{
	double before[SEEDS], shares[N_WINDOWS][SEEDS];
	struct outcome out;
	for (unsigned i = 0; i < SEEDS; i++) {
		lode_perf_progress(p, "%s, seed %u", names[fault], i + 1);
		if (!run(fault, i + 1, &out))
			return;
		before[i] = out.before_mbps;
		for (unsigned w = 0; w < N_WINDOWS; w++)
			shares[w][i] = out.mbps[w] / alone[i].mbps[w];
	}
	lode_perf_row(p, names[fault], "before", median(before), "Mbit/s", NULL, NAN);
	for (unsigned w = 0; w < N_WINDOWS; w++) {
		double share = median(shares[w]);
		lode_perf_row(p, names[fault], windows[w].name, share, "", "bar 0.9", share / .9);
		lode_perf_row(p, names[fault], "least of the seeds", shares[w][0], "", NULL, NAN);
	}
}

bool sim_transfer_wanted(const struct lode_perf *p)
{
	bool any = false;
	for (unsigned i = 0; i < N_FAULTS; i++)
		any |= lode_perf_wanted(p, names[i]);
	return any;
}

void sim_transfer(struct lode_perf *p)
{
	struct outcome alone[SEEDS];
	for (unsigned i = 0; i < SEEDS; i++)
		if (!run(N_FAULTS, i + 1, &alone[i]))
			return;
	for (unsigned i = 0; i < N_FAULTS; i++)
		if (lode_perf_wanted(p, names[i]))
			fault_rows(p, (enum fault)i, alone);
}
