/* SPDX-License-Identifier: BSD-3-Clause */
/* The shipped loss predictor in whole gateways: it runs, is scored by outcomes, and does not harm. */
#include "lode_sim.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define S  LODE_NS_PER_S
#define MS LODE_NS_PER_MS

static const char *under(const char *root, const char *fallback, const char *name, char path[512])
{
	const char *folder = getenv(root);
	snprintf(path, 512, "%s/%s", folder ? folder : fallback, name);
	return path;
}

static struct lode_model *load(const char *path, uint64_t serial, struct lode_loss_model *m)
{
	const struct lode_model_options options = {
		.schemas = lode_loss_schemas, .n_schemas = lode_loss_n_schemas};
	struct lode_err err = {0};
	struct lode_model *model;
	cr_assert_eq(lode_model_load(&model, path, &options, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_loss_model_init(m, model, serial, &err), 0, "%s", err.msg);
	return model;
}

static struct lode_model *shipped(struct lode_loss_model *m)
{
	char path[512];
	return load(under("LODE_SOURCE_ROOT", ".", "models/loss-mlp.safetensors", path), 1, m);
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

/* Decisions of a gateway with a lossy link and a stream, by models given one after the other, 4 s each. */
static void run_models(const struct lode_loss_model *const models[], unsigned n, uint64_t seed,
	struct lode_loss_stats *after)
{
	struct lode_err err;
	const struct lode_sim_params params = {.seed = seed,
		.n_sites = 2,
		.n_wan_ports = 1,
		.n_workers = 1,
		.aead = "null",
		.n_mbufs = 16384,
		.n_flow_entries = 1024,
		.uplink = {{.rate_bps = 10000000, .delay_ns = 15 * MS, .loss = 0.02}}};
	struct lode_sim_flow stream = {.kind = LODE_SIM_CBR,
		.dst = 1,
		.pkt_bytes = 1000,
		.pps = 500,
		.start_ns = S,
		.stop_ns = LODE_NEVER_NS};
	struct lode_sim *s = lode_sim_new(&params, &err);
	cr_assert(s, "%s", err.msg);
	cr_assert_geq(lode_sim_add_flow(s, &stream, &err), 0);
	lode_sim_run(s, 2 * S);
	for (unsigned i = 0; i < n; i++) {
		lode_control_set_loss_model(lode_sim_control(s, 0), models[i]);
		lode_sim_run(s, (6 + 4 * i) * S);
		after[i] = *lode_worker_loss_stats(lode_sim_worker(s, 0, 0));
	}
	lode_sim_flush(s);
	cr_assert_eq(lode_sim_mbufs_in_use(s), 0);
	lode_sim_free(s);
}

Test(sim_loss, models_change_while_packets_pass, .timeout = 100)
{
	struct lode_loss_model one, two;
	struct lode_err err;
	cr_assert_eq(lode_sim_eal_init(256, &err), 0, "%s", err.msg);
	struct lode_loss_stats *after = calloc(3, sizeof(*after));
	struct lode_model *first = shipped(&one);
	two = one;
	two.serial = 2;
	const struct lode_loss_model *const models[] = {&one, &two, NULL};
	run_models(models, 3, 6, after);
	cr_assert_gt(after[0].decisions[LODE_LOSS_BY_MODEL], 350);
	uint64_t more =
		after[1].decisions[LODE_LOSS_BY_MODEL] - after[0].decisions[LODE_LOSS_BY_MODEL];
	cr_assert_gt(more, 350, "%llu", (unsigned long long)more);
	cr_assert_eq(after[1].fallbacks[LODE_LOSS_WARMING], after[0].fallbacks[LODE_LOSS_WARMING],
		"no window is without a model's answer");
	cr_assert_leq(
		after[2].decisions[LODE_LOSS_BY_MODEL], after[1].decisions[LODE_LOSS_BY_MODEL] + 1);
	cr_assert_gt(after[2].fallbacks[LODE_LOSS_NO_MODEL],
		after[1].fallbacks[LODE_LOSS_NO_MODEL] + 350);
	lode_model_free(first);
	free(after);
}

/* The weights that the older project published, fed from a running gateway. */
Test(sim_loss, older_weights_run_in_a_gateway, .timeout = 100)
{
	static const char *const names[] = {"transformer_loss", "lstm_loss_predictor"};
	struct lode_err err;
	cr_assert_eq(lode_sim_eal_init(256, &err), 0, "%s", err.msg);
	for (unsigned i = 0; i < 2; i++) {
		char name[64], path[512];
		struct lode_loss_model m;
		struct lode_loss_stats *after = calloc(1, sizeof(*after));
		snprintf(name, sizeof(name), "legacy-models/%s.safetensors", names[i]);
		if (access(under("LODESTONE_DATA_DIR", "../shared/data", name, path), R_OK)) {
			free(after);
			cr_skip_test("no %s: set LODESTONE_DATA_DIR", path);
		}
		struct lode_model *model = load(path, 1, &m);
		cr_assert_neq(m.schema, &lode_schema_loss);
		const struct lode_loss_model *const models[] = {&m};
		run_models(models, 1, 7, after);
		cr_assert_gt(after->latency_ns.n + after->decisions[LODE_LOSS_BY_MODEL], 350);
		cr_assert_eq(after->fallbacks[LODE_LOSS_BAD_INPUT], 0);
		lode_model_free(model);
		free(after);
	}
}
