/* SPDX-License-Identifier: BSD-3-Clause */
/* Two transfers between whole gateways in virtual time, with repair as shipped against repair off: what it brings
 * on lossy links, and that it costs nothing on clean and on full ones. */
#include "fec_rows.h"

#include "lode_sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MS	LODE_NS_PER_MS
#define S	LODE_NS_PER_S
#define SEEDS	2
#define FROM_NS (5 * S)
#define TO_NS	(20 * S)
#define EAL_MB	512
#define PREFIX	"transfers: "

static const char off[] = "classes: {gaming: {repair: \"off\"}, voip: {repair: \"off\"}, "
			  "streaming: {repair: \"off\"}, bulk: {repair: \"off\"}, "
			  "web: {repair: \"off\"}, management: {repair: \"off\"}}\n";

static const struct scenario {
	const char *name;
	unsigned n_paths;
	struct lode_link_config link[2];
} scenarios[] = {
	{PREFIX "clean, 50 Mbit/s", 1,
		{{.rate_bps = 50000000, .delay_ns = 10 * MS, .queue_pkts = 200}}},
	{PREFIX "clean, 100 + 30 Mbit/s", 2,
		{{.rate_bps = 100000000, .delay_ns = 10 * MS},
			{.rate_bps = 30000000, .delay_ns = 30 * MS}}},
	{PREFIX "full, 20 Mbit/s, buffer 9 ms", 1,
		{{.rate_bps = 20000000, .delay_ns = 20 * MS, .queue_pkts = 15}}},
	{PREFIX "full, 20 Mbit/s, buffer 24 ms", 1,
		{{.rate_bps = 20000000, .delay_ns = 20 * MS, .queue_pkts = 40}}},
	{PREFIX "0.5 % at random, 20 ms", 1,
		{{.rate_bps = 50000000, .delay_ns = 10 * MS, .loss = 0.005, .queue_pkts = 200}}},
	{PREFIX "1 % in bursts of 4, 20 ms", 1,
		{{.rate_bps = 50000000, .delay_ns = 10 * MS, .loss = 0.01, .burst_pkts = 4}}},
	{PREFIX "1 % in bursts of 8, 80 ms", 1,
		{{.rate_bps = 50000000, .delay_ns = 40 * MS, .loss = 0.01, .burst_pkts = 8}}},
	{PREFIX "1 % at random, 120 ms", 1,
		{{.rate_bps = 50000000, .delay_ns = 60 * MS, .loss = 0.01}}},
	{PREFIX "2 and 3 % at random, two paths", 2,
		{{.rate_bps = 30000000, .delay_ns = 10 * MS, .loss = 0.02},
			{.rate_bps = 30000000, .delay_ns = 30 * MS, .loss = 0.03}}},
};

static double goodput_mbps(const struct scenario *c, const struct lode_loss_model *predictor,
	const char *yaml, uint64_t seed)
{
	struct lode_err err;
	struct lode_sim_params params = {.seed = seed,
		.n_sites = 2,
		.n_wan_ports = c->n_paths,
		.n_workers = 1,
		.aead = "null",
		.n_mbufs = 65536,
		.n_flow_entries = 1024,
		.yaml = yaml,
		.uplink = {c->link[0], c->link[1]}};
	const struct lode_sim_flow transfer = {.kind = LODE_SIM_TCP,
		.dst = 1,
		.pkt_bytes = 1500,
		.start_ns = S,
		.stop_ns = LODE_NEVER_NS};
	struct lode_sim *s = lode_sim_new(&params, &err);
	if (!s || lode_sim_add_flow(s, &transfer, &err) < 0 ||
		lode_sim_add_flow(s, &transfer, &err) < 0) {
		fprintf(stderr, "fec: %s\n", err.msg);
		lode_sim_free(s);
		return NAN;
	}
	for (unsigned site = 0; site < 2; site++)
		lode_control_set_loss_model(lode_sim_control(s, site), predictor);
	lode_sim_run(s, FROM_NS);
	uint64_t bytes = 0;
	for (unsigned i = 0; i < 2; i++)
		bytes -= lode_sim_flow_stats(s, i)->delivered_bytes;
	lode_sim_run(s, TO_NS);
	for (unsigned i = 0; i < 2; i++)
		bytes += lode_sim_flow_stats(s, i)->delivered_bytes;
	lode_sim_free(s);
	return (double)bytes * 8e3 / (double)(TO_NS - FROM_NS);
}

static void compare(struct lode_perf *p, const char *name, const struct scenario *c,
	const struct lode_loss_model *predictor)
{
	double with = 0, without = 0;
	lode_perf_progress(p, "%s", name);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		without += goodput_mbps(c, predictor, off, seed) / SEEDS;
		with += goodput_mbps(c, predictor, "", seed) / SEEDS;
	}
	lode_perf_row(p, name, "repair off", without, "Mbit/s", NULL, NAN);
	lode_perf_row(p, name, "repair as shipped", with, "Mbit/s", "off", with / without);
}

/* Real capacity, a buffer of 100 packets, and now and then a loss. */
static void over_trace(
	struct lode_perf *p, const char *name, const struct lode_loss_model *predictor)
{
	const char *dir = getenv("LODESTONE_DATA_DIR");
	char path[512];
	struct lode_link_trace *t;
	struct lode_err err;
	snprintf(path, sizeof(path), "%s/mahimahi-traces/%s", dir ? dir : "../shared/data",
		name + strlen(PREFIX));
	if (lode_link_trace_load(path, &t, &err)) {
		fprintf(stderr, "fec: skipped: %s\n", err.msg);
		return;
	}
	const struct scenario c = {.n_paths = 1,
		.link = {{.trace = t, .delay_ns = 20 * MS, .loss = 0.005, .queue_pkts = 100}}};
	compare(p, name, &c, predictor);
	free(t);
}

void fec_harm(struct lode_perf *p)
{
	static const char *const traces[] = {PREFIX "TMobile-LTE-short.down",
		PREFIX "Verizon-LTE-short.down", PREFIX "ATT-LTE-driving.down"};
	const struct lode_loss_model *used;
	struct lode_loss_model predictor;
	struct lode_model *model;
	struct lode_err err;
	bool started = false;
	model = fec_predictor(&predictor, &used);
	for (unsigned i = 0; i < LODE_ARRAY_LEN(scenarios) + LODE_ARRAY_LEN(traces); i++) {
		bool fixed = i < LODE_ARRAY_LEN(scenarios);
		const char *name =
			fixed ? scenarios[i].name : traces[i - LODE_ARRAY_LEN(scenarios)];
		if (!lode_perf_wanted(p, name))
			continue;
		if (!started && lode_sim_eal_init(EAL_MB, &err)) {
			fprintf(stderr, "fec: %s\n", err.msg);
			break;
		}
		started = true;
		if (fixed)
			compare(p, name, &scenarios[i], used);
		else
			over_trace(p, name, used);
	}
	lode_model_free(model);
}
