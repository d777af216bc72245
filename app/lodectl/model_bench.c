/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl model bench: how long one inference takes on this machine, pinned, warm-up left out. Warm:
 * the same model again and again. Cold: its bytes were flushed from every cache before each call. */
#include "model.h"

#include "lode_clock.h"

#include <sched.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { WARM_UP = 200, MAX_SAMPLES = 20000, COLD_SAMPLES = 1000, BUDGET_MS = 1000, BATCH = 16 };

/* Stays on the CPU it is on. */
static int pin(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();
	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -1 : cpu;
}

static void flush(const void *data, size_t n_bytes)
{
#if defined(__x86_64__)
	for (size_t i = 0; i < n_bytes; i += LODE_CACHE_LINE)
		_mm_clflush((const char *)data + i);
	_mm_mfence();
#else
	(void)data;
	(void)n_bytes;
#endif
}

struct bench {
	const struct runnable *r;
	float *in[MAX_INPUTS];
	uint64_t sample_ns[MAX_SAMPLES];
	size_t n;
};

static void call(struct bench *b)
{
	float out[LODE_MODEL_NETS * LODE_NN_MAX_OUT], *values;
	size_t n_out;
	struct lode_err err;
	if (b->r->model)
		lode_model_run(b->r->model, b->r->scratch, b->in[0], out);
	else if (!runnable_run(b->r, (const float *const *)b->in, &values, &n_out, &err))
		free(values);
}

/* Warm samples are means over a few calls, so that the clock does not count. */
static void measure(struct bench *b, bool cold)
{
	size_t max = cold ? COLD_SAMPLES : MAX_SAMPLES, n_calls = cold || !b->r->model ? 1 : BATCH;
	uint64_t stop = lode_clock_ns() + BUDGET_MS * LODE_NS_PER_MS;
	for (int i = 0; i < WARM_UP && lode_clock_ns() < stop; i++)
		call(b);
	for (b->n = 0; b->n < max && lode_clock_ns() < stop; b->n++) {
		if (cold)
			flush(b->r->model->blob, b->r->model->packed_bytes);
		uint64_t start = lode_clock_ns();
		for (size_t i = 0; i < n_calls; i++)
			call(b);
		b->sample_ns[b->n] = (lode_clock_ns() - start) / n_calls;
	}
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static json_t *report(struct bench *b, const char *state)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = {
		{"min_ns", 0}, {"p50_ns", .5}, {"p90_ns", .9}, {"p99_ns", .99}, {"p999_ns", .999}};
	json_t *row = json_pack("{s:s,s:I}", "state", state, "samples", (json_int_t)b->n);
	qsort(b->sample_ns, b->n, sizeof(b->sample_ns[0]), by_value);
	for (size_t i = 0; b->n && i < LODE_ARRAY_LEN(quantiles); i++)
		json_object_set_new(row, quantiles[i].name,
			json_integer((json_int_t)b->sample_ns[(
				size_t)(quantiles[i].q * (double)(b->n - 1))]));
	return row;
}

static void print_rows(const json_t *rows)
{
	static const char *const heads[] = {
		"state", "samples", "min_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns"};
	struct table t;
	size_t i;
	json_t *row;
	table_begin(&t, LODE_ARRAY_LEN(heads), heads);
	json_array_foreach(rows, i, row)
	{
		table_cell(&t, "%s", json_string_value(json_object_get(row, heads[0])));
		for (size_t k = 1; k < LODE_ARRAY_LEN(heads); k++)
			table_cell(&t, "%lld",
				(long long)json_integer_value(json_object_get(row, heads[k])));
	}
	table_end(&t, stdout);
}

int model_bench(struct lodectl *ctl, int argc, char **argv)
{
	struct runnable r;
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl model bench FILE");
	int code = runnable_open(&r, argv[0]);
	if (code)
		return code;
	struct bench *b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	b->r = &r;
	for (unsigned i = 0; i < MAX_INPUTS && runnable_inputs(&r, i); i++)
		b->in[i] = calloc(runnable_inputs(&r, i), sizeof(float));
	runnable_sample(&r, 1, b->in);
	int cpu = pin();
	json_t *rows = json_array();
	measure(b, false);
	json_array_append_new(rows, report(b, "warm"));
	if (r.model) {
		measure(b, true);
		json_array_append_new(rows, report(b, "cold"));
	}
	if (ctl->json) {
		json_t *v =
			json_pack("{s:s,s:i,s:O}", "file", argv[0], "cpu", cpu, "latency", rows);
		print_json(v);
		json_decref(v);
	} else {
		print_rows(rows);
	}
	json_decref(rows);
	for (unsigned i = 0; i < MAX_INPUTS; i++)
		free(b->in[i]);
	free(b);
	runnable_close(&r);
	return EXIT_OK;
}
