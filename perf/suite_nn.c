/* SPDX-License-Identifier: BSD-3-Clause */
/* lode-perf nn: nanoseconds per inference of every model, form and instruction set: warm (independent
 * calls, and each waiting for the one before), cold (weights evicted from L1 and L2), in batches; the
 * share of the core's measured peak; and other engines on the same core in the same run. */
#include "lode_oracle.h"
#include "nn_nets.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH	    32
#define EVICT_BYTES (8u << 20)
#define PREFETCH_NS 3000
#define BUDGET_NS   60000000.0 /* of one measurement */
#define N_BATCHES   200

struct runner {
	const struct lode_nn_model *model;
	const struct perf_net *net;
	void *scratch, *state;
	float *in;
	float out[BATCH * LODE_NN_MAX_OUT];
	unsigned next;
};

#ifdef __x86_64__
#include <immintrin.h>

#define PEAK_PRODUCTS 16384

/* Products in registers only, in chains enough to fill the pipes: what the core can do at best now. */
__attribute__((target("avx512f,avx512vnni"))) static void run_peak(void *arg)
{
	__m512i a = _mm512_set1_epi32(1), s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a;
	__m512i s6 = a, s7 = a, s8 = a, s9 = a, s10 = a, s11 = a;
	for (unsigned k = 0; k < PEAK_PRODUCTS / 12; k++)
		__asm__ volatile("vpdpbusd %12, %12, %0\n\tvpdpbusd %12, %12, %1\n\t"
				 "vpdpbusd %12, %12, %2\n\tvpdpbusd %12, %12, %3\n\t"
				 "vpdpbusd %12, %12, %4\n\tvpdpbusd %12, %12, %5\n\t"
				 "vpdpbusd %12, %12, %6\n\tvpdpbusd %12, %12, %7\n\t"
				 "vpdpbusd %12, %12, %8\n\tvpdpbusd %12, %12, %9\n\t"
				 "vpdpbusd %12, %12, %10\n\tvpdpbusd %12, %12, %11"
				 : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5),
				 "+v"(s6), "+v"(s7), "+v"(s8), "+v"(s9), "+v"(s10), "+v"(s11)
				 : "v"(a));
	(void)arg;
}
#endif

/* 8-bit products per ns of this core, measured now; NAN without VNNI. */
static double peak_per_ns(void)
{
#ifdef __x86_64__
	if (lode_nn_isa_available(LODE_NN_AVX512VNNI))
		return 64.0 * (PEAK_PRODUCTS / 12 * 12) / lode_perf_min_ns(run_peak, NULL, 20, 50);
#endif
	return NAN;
}

static void run_next(void *arg)
{
	struct runner *r = arg;
	const float *in = r->net->inputs + (r->next++ % PERF_INPUTS) * perf_net_in(r->net);
	lode_nn_run(r->model, r->scratch, in, r->out);
}

/* The next input is made from the last output, so calls cannot overlap. */
static void run_chained(void *arg)
{
	struct runner *r = arg;
	r->in[0] = r->net->inputs[0] + r->out[0] * 0.0f;
	lode_nn_run(r->model, r->scratch, r->in, r->out);
}

static void run_batch(void *arg)
{
	struct runner *r = arg;
	lode_nn_run_batch(r->model, r->scratch, r->net->inputs, BATCH, r->out);
}

static void run_step(void *arg)
{
	struct runner *r = arg;
	const float *in = r->net->inputs + (r->next++ % PERF_INPUTS) * perf_net_in(r->net);
	lode_nn_step(r->model, r->scratch, r->state, in, r->out);
}

/* The fastest of many short batches: neighbours on a shared machine only ever add. */
static double best_ns(void (*fn)(void *), void *arg)
{
	double once = lode_perf_min_ns(fn, arg, 16, 5);
	unsigned n_calls = (unsigned)fmin(100000, fmax(8, BUDGET_NS / N_BATCHES / once));
	return lode_perf_min_ns(fn, arg, n_calls, N_BATCHES);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void nothing(void *arg)
{
	(void)arg;
}

static double once_ns(void (*fn)(void *), void *arg)
{
	uint64_t start = lode_perf_wall_ns();
	fn(arg);
	return (double)(lode_perf_wall_ns() - start);
}

/* Reads so much else that weights, scratch and inputs are in the third cache level at best. */
static void evict(void)
{
	static uint8_t other[EVICT_BYTES];
	volatile uint8_t sink;
	if (!other[0])
		memset(other, 1, sizeof(other));
	for (unsigned k = 0; k < EVICT_BYTES; k += 64)
		sink = other[k];
	(void)sink;
}

/* Median of single calls after an eviction; first, if given, runs in between, PREFETCH_NS ahead. */
static double cold_ns(void (*fn)(void *), void *arg, void (*first)(void *))
{
	enum { N = 301 };
	double ns[N], clock[N];
	for (unsigned i = 0; i < N; i++) {
		evict();
		if (first)
			first(arg);
		for (uint64_t start = lode_perf_wall_ns();
			lode_perf_wall_ns() - start < PREFETCH_NS;)
			;
		clock[i] = once_ns(nothing, NULL);
		ns[i] = once_ns(fn, arg);
	}
	qsort(ns, N, sizeof(*ns), by_value);
	qsort(clock, N, sizeof(*clock), by_value);
	return ns[N / 2] - clock[N / 2];
}

static void prefetch(void *arg)
{
	struct runner *r = arg;
	for (size_t at = 0; (at = lode_nn_prefetch(r->model, at, 4096));)
		;
}

static int runner_open(
	struct runner *r, const struct perf_net *net, enum lode_nn_isa isa, enum lode_nn_form form)
{
	struct lode_err err;
	size_t bytes = lode_nn_model_bytes(&net->desc, form);
	size_t page = (bytes + (2u << 20) - 1) & ~((size_t)(2u << 20) - 1);
	void *memory = aligned_alloc(2u << 20, page);
	*r = (struct runner){.net = net};
	if (!memory || lode_nn_model_build(memory, bytes, &net->desc, net->int8, net->n_int8, isa,
			       form, &r->model, &err)) {
		free(memory);
		return -EINVAL;
	}
	r->scratch = aligned_alloc(4096, LODE_NN_SCRATCH_BYTES);
	r->state = aligned_alloc(64, lode_nn_state_bytes(r->model) + 64);
	r->in = malloc(perf_net_in(net) * sizeof(float));
	memcpy(r->in, net->inputs, perf_net_in(net) * sizeof(float));
	if (lode_nn_state_bytes(r->model)) {
		lode_nn_state_reset(r->model, r->state);
		for (unsigned i = 0; i < net->desc.n_steps; i++)
			run_step(r);
	}
	return 0;
}

static void runner_close(struct runner *r)
{
	free((void *)r->model);
	free(r->scratch);
	free(r->state);
	free(r->in);
}

static void row(struct lode_perf *p, const char *name, const char *metric, double ns)
{
	lode_perf_row(p, name, metric, ns, "ns", NULL, NAN);
}

struct times {
	double single, batch; /* ns per inference */
};

static const struct nn_peer *const peers[] = {
	&nn_peer_onnxruntime,
	&nn_peer_onnxruntime_int8,
#ifdef LODE_PEER_XNNPACK
	&nn_peer_xnnpack,
#endif
#ifdef LODE_PEER_DNNL
	&nn_peer_dnnl,
#endif
};

static void compare_peer(struct lode_perf *p, const struct perf_net *net, const char *name,
	enum lode_nn_form form, const struct nn_peer *peer, unsigned batch, double ours)
{
	char why[128] = "", metric[96];
	void *session = peer->open(net, form, batch, why);
	if (!session) {
		if (*why)
			fprintf(stderr, "%s is left out for %s: %s\n", peer->name, name, why);
		return;
	}
	double ns = best_ns(peer->run, session) / batch;
	snprintf(metric, sizeof(metric), "%s, batch %u", peer->name, batch);
	row(p, name, metric, ns);
	snprintf(metric, sizeof(metric), "ours, batch %u", batch);
	lode_perf_row(p, name, metric, ours, "ns", peer->name, ns / ours);
	peer->close(session);
}

/* form: of the graph that the others run. */
static void compare(struct lode_perf *p, const struct perf_net *net, const char *name,
	enum lode_nn_form form, struct times ours)
{
	for (unsigned i = 0; i < LODE_ARRAY_LEN(peers); i++) {
		compare_peer(p, net, name, form, peers[i], 1, ours.single);
		if (net->desc.kind == LODE_NN_MLP)
			compare_peer(p, net, name, form, peers[i], BATCH, ours.batch);
	}
}

/* The best instruction set: every figure. */
static struct times measure_best(struct lode_perf *p, struct runner *r, const char *name)
{
	struct times t = {.single = best_ns(run_next, r)};
	double macs = (double)lode_nn_macs(&r->net->desc);
	row(p, name, lode_nn_isa_name(lode_nn_model_isa(r->model)), t.single);
	if (lode_nn_model_form(r->model) <= LODE_NN_FORM_FULL)
		lode_perf_row(p, name, "share of measured peak",
			100 * macs / t.single / peak_per_ns(), "%", NULL, NAN);
	row(p, name, "latency", best_ns(run_chained, r));
	t.batch = best_ns(run_batch, r) / BATCH;
	row(p, name, "batch 32, per sample", t.batch);
	row(p, name, "L2-cold", cold_ns(run_next, r, NULL));
	row(p, name, "L2-cold, prefetched", cold_ns(run_next, r, prefetch));
	return t;
}

static struct times measure_window(
	struct lode_perf *p, const struct perf_net *net, const char *name, enum lode_nn_form form)
{
	static const enum lode_nn_isa isas[] = {LODE_NN_AVX512VNNI, LODE_NN_AVX2, LODE_NN_PORTABLE};
	struct times best = {NAN, NAN};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(isas); i++) {
		struct runner r;
		if (!lode_nn_isa_available(isas[i]) || runner_open(&r, net, isas[i], form))
			continue;
		if (isas[i] == lode_nn_isa_best()) {
			best = measure_best(p, &r, name);
		} else {
			double ns = best_ns(run_next, &r);
			lode_perf_row(p, name, lode_nn_isa_name(isas[i]), ns, "ns", "best isa",
				best.single / ns);
		}
		runner_close(&r);
	}
	return best;
}

static struct times measure_step(
	struct lode_perf *p, const struct perf_net *net, const char *name, enum lode_nn_form form)
{
	struct runner r;
	struct times t = {NAN, NAN};
	if (runner_open(&r, net, LODE_NN_ISA_AUTO, form))
		return t;
	t.single = best_ns(run_step, &r);
	row(p, name, "step", t.single);
	row(p, name, "step, L2-cold", cold_ns(run_step, &r, NULL));
	row(p, name, "step, L2-cold, prefetched", cold_ns(run_step, &r, prefetch));
	runner_close(&r);
	return t;
}

static void measure_transformer(struct lode_perf *p, const struct perf_net *net)
{
	static const enum lode_nn_form forms[] = {
		LODE_NN_FORM_FULL, LODE_NN_FORM_LAST, LODE_NN_FORM_FOLDED};
	char name[96];
	for (unsigned i = 0; i < LODE_ARRAY_LEN(forms); i++) {
		snprintf(name, sizeof(name), "%s, %s", net->name, lode_nn_form_name(forms[i]));
		compare(p, net, name, forms[i], measure_window(p, net, name, forms[i]));
	}
	snprintf(name, sizeof(name), "%s, stream", net->name);
	if (net->desc.position == LODE_NN_POSITION_NONE)
		compare(p, net, name, LODE_NN_FORM_FULL,
			measure_step(p, net, name, LODE_NN_FORM_STREAM));
}

struct oracle_case {
	struct runner runner;
	uint8_t payloads[PERF_INPUTS][LODE_ORACLE_SAMPLE_BYTES];
	float features[LODE_ORACLE_FEATURES];
};

static void run_features(void *arg)
{
	struct oracle_case *c = arg;
	lode_oracle_features(c->payloads[c->runner.next++ % PERF_INPUTS], LODE_ORACLE_SAMPLE_BYTES,
		1400, c->features);
}

static void run_oracle(void *arg)
{
	struct oracle_case *c = arg;
	run_features(c);
	lode_nn_run(c->runner.model, c->runner.scratch, c->features, c->runner.out);
}

/* A whole decision from a packet's first bytes: random, and words of few letters. */
static void measure_oracle(struct lode_perf *p, const struct perf_net *net)
{
	struct oracle_case c;
	struct lode_rng rng;
	lode_rng_seed(&rng, 3);
	if (runner_open(&c.runner, net, LODE_NN_ISA_AUTO, LODE_NN_FORM_AUTO))
		return;
	for (unsigned i = 0; i < PERF_INPUTS; i++)
		for (unsigned k = 0; k < LODE_ORACLE_SAMPLE_BYTES; k++)
			c.payloads[i][k] = (uint8_t)(i % 2 ? lode_rng_below(&rng, 256)
							   : 'a' + lode_rng_below(&rng, 20));
	row(p, net->name, "features of 256 bytes", best_ns(run_features, &c));
	row(p, net->name, "with features", best_ns(run_oracle, &c));
	runner_close(&c.runner);
}

/* Checks and packing of a model whose file is in memory. */
static void measure_build(struct lode_perf *p, const struct perf_net *net)
{
	enum { N = 21 };
	double ns[N];
	struct runner r;
	for (unsigned i = 0; i < N; i++) {
		uint64_t start = lode_perf_wall_ns();
		if (runner_open(&r, net, LODE_NN_ISA_AUTO, LODE_NN_FORM_AUTO))
			return;
		ns[i] = (double)(lode_perf_wall_ns() - start);
		runner_close(&r);
	}
	qsort(ns, N, sizeof(*ns), by_value);
	lode_perf_row(p, net->name, "build", ns[N / 2] / 1e6, "ms", NULL, NAN);
}

static void measure(struct lode_perf *p, const char *name, const struct lode_nn_desc *d)
{
	struct perf_net net;
	if (!lode_perf_wanted(p, name) || perf_net_open(&net, name, d))
		return;
	measure_build(p, &net);
	if (d->kind == LODE_NN_TRANSFORMER)
		measure_transformer(p, &net);
	else
		compare(p, &net, name, LODE_NN_FORM_AUTO,
			measure_window(p, &net, name, LODE_NN_FORM_AUTO));
	if (strstr(name, "oracle"))
		measure_oracle(p, &net);
	if (d->kind == LODE_NN_LSTM)
		measure_step(p, &net, name, LODE_NN_FORM_AUTO);
	perf_net_close(&net);
}

int suite_nn(struct lode_perf *p);

int suite_nn(struct lode_perf *p)
{
	static const uint16_t dqn[] = {128, 128, 6}, ppo[] = {128, 128, 2}, oracle[] = {32, 32, 4};
	static const uint16_t window[] = {64, 64, 1};
	const struct {
		const char *name;
		struct lode_nn_desc desc;
	} models[] = {
		{"dqn 8-128-128-6", lode_nn_desc_mlp(8, 1, dqn, 3, LODE_NN_OUT_LINEAR)},
		{"ppo 8-128-128-2", lode_nn_desc_mlp(8, 1, ppo, 3, LODE_NN_OUT_LINEAR)},
		{"oracle 8-32-32-4", lode_nn_desc_mlp(8, 1, oracle, 3, LODE_NN_OUT_LINEAR)},
		{"window mlp 160-64-64-1", lode_nn_desc_mlp(8, 20, window, 3, LODE_NN_OUT_SIGMOID)},
		{"lstm 64", lode_nn_desc_lstm(8, 20, 64, 1)},
		{"transformer legacy", lode_nn_desc_transformer_legacy()},
		{"transformer", lode_nn_desc_transformer()},
	};
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (unsigned i = 0; i < LODE_ARRAY_LEN(models); i++)
		measure(p, models[i].name, &models[i].desc);
	return 0;
}
