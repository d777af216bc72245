/* SPDX-License-Identifier: BSD-3-Clause */
/* Two whole gateways in virtual time with four paths, carrying a call, a game and a transfer, one copy of each
 * packet and no repair, so that only the choice of paths helps. Each fault befalls the path that the call is
 * on (the last one: a path that only the transfer shares). Medians over seeds. */
#include "path_whole.h"

#include "lode_sim.h"

#include <math.h>
#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>

#define S	 LODE_NS_PER_S
#define MS	 LODE_NS_PER_MS
#define PATHS	 4
#define SEEDS	 5
#define FAULT_NS (12 * S)
#define AFTER_NS (4 * S)
#define END_NS	 (FAULT_NS + AFTER_NS)
#define STEP_NS	 (5 * MS)

enum fault { BROWN_OUT, OUTAGE, ONE_WAY_LOSS, HALF_LOST, N_FAULTS };
static const char *const fault_names[N_FAULTS] = {
	"brown-out", "outage", "one-way loss", "half lost elsewhere"};

enum flow { CALL, GAME, TRANSFER, N_FLOWS };

static const char yaml[] = "rules:\n"
			   "  - {name: call, class: voip, protocol: udp, dport: 7001}\n"
			   "  - {name: game, class: gaming, protocol: udp, dport: 7002}\n"
			   "  - {name: transfer, class: bulk, protocol: tcp}\n"
			   "classes:\n"
			   "  gaming: {copies: 1, repair: \"off\"}\n"
			   "  voip: {copies: 1, repair: \"off\"}\n";

struct outcome {
	double moved_ms; /* until control had chosen another path for the call */
	double lost[2], gap_ms[2];
	double before_mbps, after_mbps; /* the transfer: 4 s before, 3 s from 1 s after the fault */
};

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
		.yaml = yaml};
	for (unsigned i = 0; i < PATHS; i++)
		params.uplink[i] = (struct lode_link_config){
			.rate_bps = 20000000, .delay_ns = (5 + 5 * i) * MS, .queue_pkts = 300};
	struct lode_sim *s = lode_sim_new(&params, &err);
	if (!s)
		fprintf(stderr, "path: %s\n", err.msg);
	return s;
}

static bool add_flows(struct lode_sim *s)
{
	struct lode_sim_flow f = {.kind = LODE_SIM_CBR,
		.dst = 1,
		.dport = 7001,
		.pkt_bytes = 200,
		.pps = 50,
		.start_ns = S,
		.stop_ns = END_NS - S / 2};
	bool ok = lode_sim_add_flow(s, &f, NULL) == CALL;
	f.dport = 7002;
	f.pkt_bytes = 120;
	f.pps = 60;
	ok = ok && lode_sim_add_flow(s, &f, NULL) == GAME;
	const struct lode_sim_flow transfer = {.kind = LODE_SIM_TCP,
		.dst = 1,
		.pkt_bytes = 1500,
		.start_ns = 2 * S,
		.stop_ns = LODE_NEVER_NS};
	return ok && lode_sim_add_flow(s, &transfer, NULL) == TRANSFER;
}

static unsigned call_path(struct lode_sim *s)
{
	struct lode_choice_status st;
	int peer = lode_sim_peer_idx(s, 0, 1);
	if (lode_control_explain(lode_sim_control(s, 0), (unsigned)peer, LODE_VOIP, &st))
		return LODE_NO_PATH;
	return st.choice.preferred;
}

/* WAN port of the path that the call is on: paths are named after networks. */
static unsigned port_of(struct lode_sim *s, unsigned path)
{
	struct lode_peer_status st;
	lode_control_peer_status(
		lode_sim_control(s, 0), (unsigned)lode_sim_peer_idx(s, 0, 1), lode_sim_now(s), &st);
	for (unsigned i = 0; i < st.n_paths; i++)
		if (st.paths[i].path == path)
			return (unsigned)(st.paths[i].name[strlen(st.paths[i].name) - 1] - '0');
	return 0;
}

static void inflict(struct lode_sim *s, enum fault fault, unsigned port)
{
	struct lode_link_config link;
	unsigned victim = fault == HALF_LOST ? (port + 1) % PATHS : port;
	for (unsigned site = 0; site < 2; site++) {
		link = *lode_sim_get_link(s, site, victim, LODE_SIM_UP);
		if (fault == BROWN_OUT) {
			link.delay_ns += 50 * MS;
			link.jitter_ns = 20 * MS;
			link.loss = .08;
		} else if (fault == ONE_WAY_LOSS && site == 0) {
			link.loss = .3;
		} else if (fault == HALF_LOST) {
			link.loss = .5;
		}
		lode_sim_set_link(s, site, victim, LODE_SIM_UP, &link);
	}
	if (fault == OUTAGE)
		lode_sim_cut(s, 0, victim, true);
}

/* Packets on their way count as lost: off by one or two when read in the middle. */
static double lost_now(struct lode_sim *s, unsigned flow)
{
	const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, flow);
	return (double)(st->sent_pkts - st->received_pkts);
}

static double mbps(uint64_t bytes, uint64_t ns)
{
	return (double)bytes * 8e3 / (double)ns;
}

static bool run(enum fault fault, uint64_t seed, struct outcome *out)
{
	struct lode_sim *s = start(seed);
	if (!s || !add_flows(s)) {
		lode_sim_free(s);
		return false;
	}
	lode_sim_run(s, FAULT_NS - 4 * S);
	uint64_t bytes = lode_sim_flow_stats(s, TRANSFER)->delivered_bytes;
	lode_sim_run(s, FAULT_NS);
	out->before_mbps = mbps(lode_sim_flow_stats(s, TRANSFER)->delivered_bytes - bytes, 4 * S);
	unsigned path = call_path(s);
	double lost[2] = {lost_now(s, CALL), lost_now(s, GAME)};
	inflict(s, fault, port_of(s, path));
	out->moved_ms = NAN;
	while (lode_sim_now(s) < FAULT_NS + S) {
		lode_sim_run(s, lode_sim_now(s) + STEP_NS);
		if (isnan(out->moved_ms) && call_path(s) != path)
			out->moved_ms = (double)(lode_sim_now(s) - FAULT_NS) / (double)MS;
	}
	bytes = lode_sim_flow_stats(s, TRANSFER)->delivered_bytes;
	lode_sim_run(s, END_NS);
	out->after_mbps = mbps(lode_sim_flow_stats(s, TRANSFER)->delivered_bytes - bytes, 3 * S);
	for (unsigned i = 0; i < 2; i++) {
		out->lost[i] = lost_now(s, i) - lost[i];
		out->gap_ms[i] = (double)lode_sim_flow_stats(s, i)->longest_gap_ns / 1e6;
	}
	lode_sim_free(s);
	return true;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Median over seeds of the double at this offset; NaN if some have none. */
static void row(struct lode_perf *p, const char *name, const char *metric, const char *unit,
	const struct outcome *out, size_t offset)
{
	double v[SEEDS];
	for (unsigned i = 0; i < SEEDS; i++)
		memcpy(&v[i], (const char *)&out[i] + offset, sizeof(v[i]));
	qsort(v, SEEDS, sizeof(v[0]), by_value);
	lode_perf_row(p, name, metric, v[SEEDS / 2], unit, NULL, NAN);
}

static void fault_name(enum fault fault, char name[64])
{
	snprintf(name, 64, "gateways: %s", fault_names[fault]);
}

static void fault_rows(struct lode_perf *p, enum fault fault)
{
	struct outcome out[SEEDS];
	char name[64];
	fault_name(fault, name);
	if (!lode_perf_wanted(p, name))
		return;
	for (unsigned i = 0; i < SEEDS; i++)
		if (!run(fault, i + 1, &out[i]))
			return;
	if (fault != HALF_LOST)
		row(p, name, "call moved", "ms", out, offsetof(struct outcome, moved_ms));
	row(p, name, "call, lost of 175", "packets", out, offsetof(struct outcome, lost[CALL]));
	row(p, name, "call, longest gap", "ms", out, offsetof(struct outcome, gap_ms[CALL]));
	row(p, name, "game, lost of 210", "packets", out, offsetof(struct outcome, lost[GAME]));
	row(p, name, "game, longest gap", "ms", out, offsetof(struct outcome, gap_ms[GAME]));
	row(p, name, "transfer before", "Mbit/s", out, offsetof(struct outcome, before_mbps));
	row(p, name, "transfer after 1 s", "Mbit/s", out, offsetof(struct outcome, after_mbps));
}

int path_whole_rows(struct lode_perf *p)
{
	struct lode_err err;
	char name[64];
	bool any = false;
	for (unsigned i = 0; i < N_FAULTS; i++) {
		fault_name((enum fault)i, name);
		any |= lode_perf_wanted(p, name);
	}
	int rc = any ? lode_sim_eal_init(384, &err) : 0;
	if (rc)
		fprintf(stderr, "path: %s\n", err.msg);
	if (rc || !any)
		return rc;
	for (unsigned i = 0; i < N_FAULTS; i++)
		fault_rows(p, (enum fault)i);
	rte_eal_cleanup();
	return 0;
}
