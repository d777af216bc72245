/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion control in the simulator: real traces, constant links, company; and the simulator's speed.
 * Whole gateways over several paths are in sim_paths.c. */
#include "lode_flow.h"
#include "lode_perf.h"
#include "sim_paths.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int suite_sim(struct lode_perf *p);

#define MS LODE_NS_PER_MS
#define S  LODE_NS_PER_S

/* ---- traces: classic against the lagged oracle ---- */

static const char *const trace_names[] = {
	"ATT-LTE-driving.down",
	"TMobile-LTE-short.down",
	"TMobile-LTE-short.up",
	"Verizon-LTE-short.down",
	"Verizon-LTE-short.up",
	"TMobile-UMTS-driving.down",
};

struct outcome {
	double utilisation, p95_ms, loss;
};

static int run_seed(const struct lode_link_config *link, enum lode_flow_kind kind, uint64_t back_ns,
	uint64_t end_ns, uint64_t seed, struct outcome *out)
{
	struct lode_flow_net net = {.link = *link,
		.back_delay_ns = back_ns,
		.end_ns = end_ns,
		.seed = seed,
		.n_flows = 1,
		.flows = {{.kind = kind, .stop_ns = end_ns}}};
	struct lode_flow_result *r = malloc(sizeof(*r));
	struct lode_err err = {0};
	int rc = r ? lode_flow_run(&net, r, &err) : -ENOMEM;
	if (rc) {
		fprintf(stderr, "sim: %s\n", err.msg);
		free(r);
		return rc;
	}
	out->utilisation = (double)r->delivered_bytes / (double)lode_flow_capacity(link, 0, end_ns);
	out->p95_ms = (double)lode_hist_quantile(&r->queue_us, 0.95) / 1e3;
	out->loss = 1 - (double)r->delivered_pkts / (double)LODE_MAX(r->sent_pkts, 1);
	free(r);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Median of five seeds, each figure for itself. */
static int run_one(const struct lode_link_config *link, enum lode_flow_kind kind, uint64_t back_ns,
	uint64_t end_ns, struct outcome *out)
{
	enum { SEEDS = 5 };
	double utilisation[SEEDS], p95_ms[SEEDS], loss[SEEDS];
	for (unsigned i = 0; i < SEEDS; i++) {
		int rc = run_seed(link, kind, back_ns, end_ns, i + 1, out);
		if (rc)
			return rc;
		utilisation[i] = out->utilisation;
		p95_ms[i] = out->p95_ms;
		loss[i] = out->loss;
	}
	qsort(utilisation, SEEDS, sizeof(double), by_value);
	qsort(p95_ms, SEEDS, sizeof(double), by_value);
	qsort(loss, SEEDS, sizeof(double), by_value);
	*out = (struct outcome){utilisation[SEEDS / 2], p95_ms[SEEDS / 2], loss[SEEDS / 2]};
	return 0;
}

static const char *data_dir(void)
{
	const char *dir = getenv("LODESTONE_DATA_DIR");
	return dir ? dir : "../shared/data";
}

static int traces(struct lode_perf *p)
{
	double log_util = 0, log_p95 = 0, worst_util = 1e9, worst_p95 = 0;
	unsigned n = 0;
	for (size_t i = 0; i < LODE_ARRAY_LEN(trace_names); i++) {
		char path[512];
		snprintf(path, sizeof(path), "%s/mahimahi-traces/%s", data_dir(), trace_names[i]);
		if (!lode_perf_wanted(p, trace_names[i]))
			continue;
		struct lode_link_trace *t;
		struct lode_err err;
		if (lode_link_trace_load(path, &t, &err)) {
			fprintf(stderr, "sim: skipped: %s\n", err.msg);
			continue;
		}
		struct lode_link_config link = {
			.trace = t, .delay_ns = 20 * MS, .queue_pkts = 1000};
		uint64_t end_ns = t->period_ms * MS;
		struct outcome oracle, classic;
		lode_perf_progress(p, "%s", trace_names[i]);
		if (run_one(&link, LODE_FLOW_ORACLE, 20 * MS, end_ns, &oracle) ||
			run_one(&link, LODE_FLOW_PATH, 20 * MS, end_ns, &classic))
			return -EINVAL;
		double util = classic.utilisation / oracle.utilisation,
		       p95 = classic.p95_ms / oracle.p95_ms;
		lode_perf_row(
			p, trace_names[i], "oracle utilisation", oracle.utilisation, "", NULL, NAN);
		lode_perf_row(
			p, trace_names[i], "oracle queue p95", oracle.p95_ms, "ms", NULL, NAN);
		lode_perf_row(
			p, trace_names[i], "utilisation", classic.utilisation, "", "oracle", util);
		lode_perf_row(p, trace_names[i], "queue p95", classic.p95_ms, "ms", "oracle", p95);
		log_util += log(util);
		log_p95 += log(p95);
		worst_util = fmin(worst_util, util);
		worst_p95 = fmax(worst_p95, p95);
		n++;
		free(t);
	}
	if (n < LODE_ARRAY_LEN(trace_names))
		return 0;
	lode_perf_row(p, "six traces", "utilisation, geometric mean", exp(log_util / n), "x oracle",
		"bar 0.90", exp(log_util / n) / 0.90);
	lode_perf_row(p, "six traces", "queue p95, geometric mean", exp(log_p95 / n), "x oracle",
		"bar 2", 2 / exp(log_p95 / n));
	lode_perf_row(p, "six traces", "utilisation, worst", worst_util, "x oracle", "bar 0.75",
		worst_util / 0.75);
	lode_perf_row(
		p, "six traces", "queue p95, worst", worst_p95, "x oracle", "bar 4", 4 / worst_p95);
	return 0;
}

/* ---- constant links ---- */

static int constant(struct lode_perf *p)
{
	static const struct {
		double mbps, rtt_ms, bdp, loss;
	} rows[] = {
		{48, 40, 0.1, 0},
		{48, 40, 0.5, 0},
		{48, 40, 1, 0},
		{48, 40, 4, 0},
		{48, 40, 1, 0.01},
		{48, 40, 0.1, 0.01},
		{2, 40, 1, 0},
		{2, 100, 4, 0},
		{12, 10, 1, 0},
		{12, 300, 1, 0},
		{100, 100, 1, 0},
		{100, 100, 1, 0.01},
		{500, 40, 0.5, 0},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(rows); i++) {
		char name[64];
		snprintf(name, sizeof(name), "const %g Mbit/s %g ms %g BDP%s", rows[i].mbps,
			rows[i].rtt_ms, rows[i].bdp, rows[i].loss > 0 ? " 1 % loss" : "");
		if (!lode_perf_wanted(p, name))
			continue;
		double bdp_bytes = rows[i].mbps * 1e6 / 8 * rows[i].rtt_ms / 1e3;
		struct lode_link_config link = {.rate_bps = (uint64_t)(rows[i].mbps * 1e6),
			.delay_ns = (uint64_t)(rows[i].rtt_ms / 2 * (double)MS),
			.loss = rows[i].loss,
			.queue_pkts = 100000,
			.queue_bytes = (uint64_t)LODE_MAX(bdp_bytes * rows[i].bdp, 3000.0)};
		struct outcome o;
		if (run_one(&link, LODE_FLOW_PATH, link.delay_ns, 30 * S, &o))
			return -EINVAL;
		lode_perf_row(p, name, "utilisation", o.utilisation, "", NULL, NAN);
		lode_perf_row(p, name, "queue p95", o.p95_ms, "ms", NULL, NAN);
		lode_perf_row(p, name, "loss", 100 * o.loss, "%", NULL, NAN);
	}
	return 0;
}

/* ---- company ---- */

static void report_company(struct lode_perf *p, const char *name, const struct lode_flow_net *net,
	const struct lode_flow_result *r)
{
	double share[LODE_FLOW_MAX], sum = 0;
	unsigned from = (unsigned)(net->end_ns / S / 3), to = (unsigned)(net->end_ns / S);
	uint64_t sent = 0, delivered = 0;
	for (unsigned i = 0; i < net->n_flows; i++) {
		share[i] = 0;
		for (unsigned s = from; s < to; s++)
			share[i] += r[i].second_bytes[s];
		sum += share[i];
		sent += r[i].sent_pkts;
		delivered += r[i].delivered_pkts;
	}
	lode_perf_row(p, name, "Jain", lode_flow_jain(share, net->n_flows), "", NULL, NAN);
	lode_perf_row(p, name, "share of the last flow x n",
		share[net->n_flows - 1] / sum * net->n_flows, "", NULL, NAN);
	lode_perf_row(p, name, "utilisation",
		sum / (double)lode_flow_capacity(&net->link, from * S, to * S), "", NULL, NAN);
	lode_perf_row(p, name, "queue p95", (double)lode_hist_quantile(&r[0].queue_us, 0.95) / 1e3,
		"ms", NULL, NAN);
	lode_perf_row(
		p, name, "loss", 100 * (1 - (double)delivered / (double)sent), "%", NULL, NAN);
}

static int company(struct lode_perf *p)
{
	static const struct {
		unsigned own, cubic;
		double bdp;
	} rows[] = {{2, 0, 1}, {3, 0, 1}, {3, 0, 0.1}, {3, 0, 6}, {8, 0, 1}, {1, 1, 0.5}, {1, 1, 1},
		{1, 1, 4}, {1, 3, 1}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(rows); i++) {
		char name[64];
		snprintf(name, sizeof(name), "%u classic%s, %g BDP", rows[i].own,
			rows[i].cubic == 0   ? ""
			: rows[i].cubic == 1 ? " + 1 CUBIC"
					     : " + 3 CUBIC",
			rows[i].bdp);
		if (!lode_perf_wanted(p, name))
			continue;
		struct lode_flow_net net = {
			.link = {.rate_bps = 48000000,
				.delay_ns = 20 * MS,
				.queue_pkts = 100000,
				.queue_bytes = (uint64_t)(240000 * rows[i].bdp)},
			.back_delay_ns = 20 * MS,
			.end_ns = 60 * S,
			.seed = 1,
			.n_flows = rows[i].own + rows[i].cubic};
		for (unsigned f = 0; f < net.n_flows; f++)
			net.flows[f] = (struct lode_flow_spec){
				.kind = f < rows[i].cubic ? LODE_FLOW_CUBIC : LODE_FLOW_PATH,
				.start_ns = f * 5 * S,
				.stop_ns = net.end_ns};
		struct lode_flow_result *r = malloc(net.n_flows * sizeof(*r));
		struct lode_err err;
		if (!r || lode_flow_run(&net, r, &err))
			return -EINVAL;
		report_company(p, name, &net, r);
		free(r);
	}
	return 0;
}

/* ---- speed of path + link ---- */

static int speed(struct lode_perf *p)
{
	static const char name[] = "path + link, 1 Gbit/s";
	if (!lode_perf_wanted(p, name))
		return 0;
	struct lode_flow_net net = {
		.link = {.rate_bps = 1000000000, .delay_ns = 10 * MS, .queue_pkts = 2000},
		.back_delay_ns = 10 * MS,
		.end_ns = 30 * S,
		.seed = 1,
		.n_flows = 1,
		.flows = {{.kind = LODE_FLOW_PATH, .stop_ns = 30 * S}}};
	struct lode_flow_result *r = malloc(sizeof(*r));
	uint64_t start = lode_perf_cpu_ns();
	if (!r || lode_flow_run(&net, r, NULL))
		return -ENOMEM;
	double seconds = (double)(lode_perf_cpu_ns() - start) / 1e9;
	double rate = (double)r->delivered_pkts / seconds / 1e6;
	lode_perf_row(p, name, "packets per CPU second", rate, "M/s", "bar 5", rate / 5);
	free(r);
	return 0;
}

int suite_sim(struct lode_perf *p)
{
	int rc = traces(p);
	rc = rc ? rc : constant(p);
	rc = rc ? rc : company(p);
	rc = rc ? rc : speed(p);
	return rc ? rc : sim_paths(p);
}
