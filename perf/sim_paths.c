/* SPDX-License-Identifier: BSD-3-Clause */
/* Two whole gateways in virtual time, real encryption, so that the product's own promises are measured:
 * unequal paths add up, a dead path costs little, and how fast all this runs. */
#include "sim_paths.h"

#include "lode_sim.h"
#include "sim_transfer.h"

#include <math.h>
#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>

#define S		LODE_NS_PER_S
#define MS		LODE_NS_PER_MS

#define EAL_MB		640 /* the hub with 64 peers wants most */

#define MEASURE_FROM_NS (20 * S) /* the transfer has found its rate by then */
#define MEASURE_TO_NS	(60 * S)

static const struct lode_link_config fast = {.rate_bps = 100000000, .delay_ns = 10 * MS};
static const struct lode_link_config slow = {.rate_bps = 30000000, .delay_ns = 30 * MS};
static const struct lode_link_config near = {.rate_bps = 50000000, .delay_ns = 5 * MS};
static const struct lode_link_config far = {.rate_bps = 50000000, .delay_ns = 75 * MS};

static struct lode_sim_params base_params(void)
{
	return (struct lode_sim_params){.seed = 1,
		.n_sites = 2,
		.n_wan_ports = 2,
		.n_workers = 1,
		.aead = "auto",
		.n_mbufs = 65536,
		.n_flow_entries = 1024,
		.uplink = {fast, slow}};
}

static struct lode_sim *start(const struct lode_sim_params *params)
{
	struct lode_err err;
	struct lode_sim *s = lode_sim_new(params, &err);
	if (!s)
		fprintf(stderr, "sim: %s\n", err.msg);
	return s;
}

static int add_transfer(struct lode_sim *s)
{
	const struct lode_sim_flow f = {.kind = LODE_SIM_TCP,
		.dst = 1,
		.pkt_bytes = 1500,
		.start_ns = S,
		.stop_ns = LODE_NEVER_NS};
	return lode_sim_add_flow(s, &f, NULL);
}

/* Goodput of one transfer after its start, Mbit/s; NaN on failure. */
static double goodput(const struct lode_sim_params *params)
{
	struct lode_sim *s = start(params);
	if (!s || add_transfer(s) < 0) {
		lode_sim_free(s);
		return NAN;
	}
	lode_sim_run(s, MEASURE_FROM_NS);
	uint64_t before = lode_sim_flow_stats(s, 0)->delivered_bytes;
	lode_sim_run(s, MEASURE_TO_NS);
	uint64_t bytes = lode_sim_flow_stats(s, 0)->delivered_bytes - before;
	lode_sim_free(s);
	return (double)bytes * 8e3 / (double)(MEASURE_TO_NS - MEASURE_FROM_NS);
}

static double one_path(const struct lode_link_config *link, uint32_t up_kbps)
{
	struct lode_sim_params params = base_params();
	params.n_wan_ports = 1;
	params.uplink[0] = *link;
	params.up_kbps[0] = up_kbps;
	return goodput(&params);
}

/* A transfer over two paths, held against a share of what both carry alone, or of the better one. */
enum bar { SUM, BETTER };
static const struct two_paths {
	const char *name, *yaml;
	const struct lode_link_config *first, *second;
	bool configured; /* their rates */
	enum bar bar;
} two_paths[] = {
	{"two paths, rates configured", "", &fast, &slow, true, SUM},
	{"two paths, rates learned", "", &fast, &slow, false, SUM},
	{"two paths, 10 and 150 ms", "", &near, &far, false, BETTER},
	{"two paths, 10 and 150 ms, waited for", "classes: {bulk: {reorder_limit_ms: 100}}\n",
		&near, &far, false, SUM},
};

static void two_paths_rows(struct lode_perf *p, const struct two_paths *t)
{
	struct lode_sim_params params = base_params();
	params.uplink[0] = *t->first;
	params.uplink[1] = *t->second;
	params.yaml = t->yaml;
	for (unsigned i = 0; t->configured && i < 2; i++)
		params.up_kbps[i] = (uint32_t)(params.uplink[i].rate_bps / 1000);
	lode_perf_progress(p, "%s", t->name);
	double a = one_path(t->first, params.up_kbps[0]),
	       b = one_path(t->second, params.up_kbps[1]);
	double both = goodput(&params);
	lode_perf_row(p, t->name, "first path alone", a, "Mbit/s", NULL, NAN);
	lode_perf_row(p, t->name, "second path alone", b, "Mbit/s", NULL, NAN);
	lode_perf_row(p, t->name, "one transfer over both", both, "Mbit/s",
		t->bar == SUM ? "0.95 of the sum" : "0.9 of the better one",
		both / (t->bar == SUM ? .95 * (a + b) : .9 * LODE_MAX(a, b)));
}

static void failover(struct lode_perf *p, const char *name, const char *yaml)
{
	struct lode_sim_params params = base_params();
	const struct lode_sim_flow call = {.kind = LODE_SIM_CBR,
		.dst = 1,
		.dscp = 46,
		.pkt_bytes = 200,
		.pps = 100,
		.start_ns = S,
		.stop_ns = 10 * S};
	params.yaml = yaml;
	struct lode_sim *s = start(&params);
	if (!s || lode_sim_add_flow(s, &call, NULL) < 0) {
		lode_sim_free(s);
		return;
	}
	lode_sim_run(s, 4 * S);
	lode_sim_cut(s, 0, 0, true);
	lode_sim_run(s, 11 * S);
	const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, 0);
	double gap_ms = (double)st->longest_gap_ns / 1e6;
	lode_perf_row(p, name, "packets lost", (double)(st->sent_pkts - st->received_pkts),
		"packets", NULL, NAN);
	lode_perf_row(p, name, "longest gap", gap_ms, "ms", "bar 250", 250 / gap_ms);
	lode_sim_free(s);
}

/* LAN packets through both gateways per second of this thread's CPU time: every packet crosses two whole
 * lanes, is sealed and opened. */
static void speed(struct lode_perf *p, const char *name)
{
	struct lode_sim_params params = base_params();
	params.uplink[0].rate_bps = params.uplink[1].rate_bps = 1000000000;
	params.up_kbps[0] = params.up_kbps[1] = 1000000;
	struct lode_sim *s = start(&params);
	for (unsigned i = 0; s && i < 16; i++) {
		const struct lode_sim_flow f = {.kind = LODE_SIM_CBR,
			.src = i % 2,
			.dst = 1 - i % 2,
			.pkt_bytes = 400,
			.pps = 10000,
			.start_ns = S,
			.stop_ns = 6 * S};
		lode_sim_add_flow(s, &f, NULL);
	}
	if (!s)
		return;
	lode_sim_run(s, 2 * S);
	uint64_t before = lode_sim_stats(s)->wan_pkts, cpu_ns = lode_perf_cpu_ns();
	lode_sim_run(s, 6 * S);
	double seconds = (double)(lode_perf_cpu_ns() - cpu_ns) / 1e9;
	double rate = (double)(lode_sim_stats(s)->wan_pkts - before) / seconds / 1e6;
	lode_perf_row(p, name, "datagrams per CPU second", rate, "M/s", "bar 0.7", rate / 0.7);
	lode_sim_free(s);
}

/* ---- an idle hub ---- */

#define POLLS 100000

/* A loop that finds nothing to do, as the idle mode makes some before it sleeps. */
static double empty_poll_ns(struct lode_sim *s)
{
	struct lode_worker *w = lode_sim_worker(s, 0, 0);
	uint64_t now_ns = lode_sim_site_now(s, 0), cpu_ns = lode_perf_cpu_ns();
	for (unsigned i = 0; i < POLLS; i++)
		lode_worker_poll(w, now_ns);
	return (double)(lode_perf_cpu_ns() - cpu_ns) / POLLS;
}

/* What it costs to read the clock twice: it is in every measured call. */
static double clock_ns(void)
{
	uint64_t start = lode_perf_cpu_ns(), ns = 0;
	for (unsigned i = 0; i < POLLS; i++)
		ns = lode_perf_cpu_ns();
	return (double)(ns - start) / POLLS;
}

struct hub_share {
	double worker, control; /* % of a core */
};

/* What the hub's own calls take of a core in the next seconds. */
static struct hub_share hub_share(struct lode_sim *s, unsigned seconds)
{
	const struct lode_sim_cost before = *lode_sim_cost(s, 0), *after = lode_sim_cost(s, 0);
	double clock = clock_ns(), percent = 100.0 / (double)(seconds * S);
	lode_sim_run(s, lode_sim_now(s) + seconds * S);
	return (struct hub_share){
		percent * ((double)(after->worker_ns - before.worker_ns) -
				  clock * (double)(after->worker_loops - before.worker_loops)),
		percent * ((double)(after->control_ns - before.control_ns) -
				  clock * (double)(after->control_loops - before.control_loops)),
	};
}

#define SLICE_S 5

/* The least of some slices: what it costs when nobody else uses the core and its caches. */
static void hub_rows(struct lode_perf *p, const char *name, struct lode_sim *s, unsigned n_slices)
{
	const struct lode_sim_cost before = *lode_sim_cost(s, 0), *after = lode_sim_cost(s, 0);
	struct hub_share least = {INFINITY, INFINITY};
	lode_perf_progress(p, "%s", name);
	for (unsigned i = 0; i < n_slices; i++) {
		struct hub_share now = hub_share(s, SLICE_S);
		least.worker = fmin(least.worker, now.worker);
		least.control = fmin(least.control, now.control);
	}
	double loops = (double)(after->worker_loops - before.worker_loops) / (n_slices * SLICE_S);
	lode_perf_row(p, name, "worker", least.worker, "% of a core", "bar 1 %", 1 / least.worker);
	lode_perf_row(
		p, name, "control", least.control, "% of a core", "bar 1 %", 1 / least.control);
	lode_perf_row(p, name, "worker's loops", loops, "per s", NULL, NAN);
}

/* A hub that has 64 peers over 4 paths each and nothing to carry: probes, their answers, rekeying; first with a probe
 * every 50 ms, after 5 minutes every 500 ms. */
static void hub(struct lode_perf *p, const char *name)
{
	struct lode_sim_params params = base_params();
	char text[64];
	params.topology = LODE_SIM_HUB;
	params.n_sites = 65;
	params.n_wan_ports = 4;
	params.uplink[2] = params.uplink[3] = slow;
	params.cpu_ns = lode_perf_cpu_ns;
	struct lode_sim *s = start(&params);
	if (!s)
		return;
	lode_sim_run(s, 10 * S);
	hub_rows(p, name, s, 12);
	lode_perf_row(p, name, "a loop without work", empty_poll_ns(s), "ns", NULL, NAN);
	snprintf(text, sizeof(text), "%s for 5 minutes", name);
	lode_sim_run(s, 320 * S);
	hub_rows(p, text, s, 12);
	lode_sim_free(s);
}

int sim_paths(struct lode_perf *p)
{
	static const char *const copied = "call in two copies, path cut",
				 *const single = "call in one copy, path cut",
				 *const fast_run = "gateways",
				 *const idle_hub = "hub, 64 peers, 4 paths, idle";
	bool any = sim_transfer_wanted(p) || lode_perf_wanted(p, copied) ||
		   lode_perf_wanted(p, single) || lode_perf_wanted(p, fast_run) ||
		   lode_perf_wanted(p, idle_hub);
	struct lode_err err;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(two_paths); i++)
		any |= lode_perf_wanted(p, two_paths[i].name);
	if (!any)
		return 0;
	int rc = lode_sim_eal_init(EAL_MB, &err);
	if (rc) {
		fprintf(stderr, "sim: %s\n", err.msg);
		return rc;
	}
	for (unsigned i = 0; i < LODE_ARRAY_LEN(two_paths); i++)
		if (lode_perf_wanted(p, two_paths[i].name))
			two_paths_rows(p, &two_paths[i]);
	if (sim_transfer_wanted(p))
		sim_transfer(p);
	if (lode_perf_wanted(p, copied))
		failover(p, copied, "");
	if (lode_perf_wanted(p, single))
		failover(p, single, "classes: {voip: {copies: 1}}\n");
	if (lode_perf_wanted(p, fast_run))
		speed(p, fast_run);
	if (lode_perf_wanted(p, idle_hub))
		hub(p, idle_hub);
	rte_eal_cleanup();
	return 0;
}
