/* SPDX-License-Identifier: BSD-3-Clause */
/* The shipped loss predictor in whole gateways: it runs, is scored by outcomes, and does not harm. */
#include "lode_sim.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define S  LODE_NS_PER_S
#define MS LODE_NS_PER_MS

static struct lode_model *shipped(struct lode_loss_model *m)
{
	char path[512];
	const struct lode_model_options options = {
		.schemas = lode_loss_schemas, .n_schemas = lode_loss_n_schemas};
	struct lode_err err = {0};
	struct lode_model *model;
	const char *root = getenv("LODE_SOURCE_ROOT");
	snprintf(path, sizeof(path), "%s/models/loss-mlp.safetensors", root ? root : ".");
	cr_assert_eq(lode_model_load(&model, path, &options, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_loss_model_init(m, model, 1, &err), 0, "%s", err.msg);
	return model;
}

Test(sim_loss, shipped_model_foresees_and_is_scored, .timeout = 100)
{
	struct lode_err err;
	const struct lode_sim_params params = {.seed = 5,
		.n_sites = 2,
		.n_wan_ports = 1,
		.n_workers = 1,
		.aead = "null",
		.n_mbufs = 16384,
		.n_flow_entries = 1024,
		.uplink = {{.rate_bps = 10000000,
			.delay_ns = 15 * MS,
			.queue_pkts = 30,
			.loss = 0.02,
			.burst_pkts = 4}}};
	struct lode_sim_flow stream = {.kind = LODE_SIM_CBR,
		.dst = 1,
		.pkt_bytes = 1000,
		.pps = 700,
		.start_ns = S,
		.stop_ns = 20 * S};
	struct lode_loss_model m;
	struct lode_loss_score score;
	cr_assert_eq(lode_sim_eal_init(256, &err), 0, "%s", err.msg);
	struct lode_model *model = shipped(&m);
	struct lode_sim *s = lode_sim_new(&params, &err);
	cr_assert(s, "%s", err.msg);
	lode_control_set_loss_model(lode_sim_control(s, 0), &m);
	cr_assert_geq(lode_sim_add_flow(s, &stream, &err), 0);
	lode_sim_run(s, 20 * S);
	const struct lode_loss_stats *stats = lode_worker_loss_stats(lode_sim_worker(s, 0, 0));
	cr_assert_gt(stats->decisions[LODE_LOSS_BY_MODEL], 1000, "%llu of %llu",
		(unsigned long long)stats->decisions[LODE_LOSS_BY_MODEL],
		(unsigned long long)stats->outcomes);
	cr_assert_lt(stats->fallbacks[LODE_LOSS_BAD_INPUT], 1);
	lode_loss_score(stats, LODE_LOSS_BY_MODEL, &score);
	cr_assert_gt(score.n, 1000);
	/* A loss of 2 % in bursts of 4: about one 50 ms in six is lossy. */
	double base = (double)score.n_lossy / (double)score.n;
	cr_assert(base > 0.05 && base < 0.4, "%g", base);
	cr_assert_lt(score.ece, 0.15, "%g", score.ece);
	cr_assert_gt(stats->decisions[LODE_LOSS_BY_MODEL],
		stats->fallbacks[LODE_LOSS_NO_MODEL] + stats->fallbacks[LODE_LOSS_LOSING]);
	lode_sim_flush(s);
	cr_assert_eq(lode_sim_mbufs_in_use(s), 0);
	lode_sim_free(s);
	lode_model_free(model);
}
