/* SPDX-License-Identifier: BSD-3-Clause */
/* What `model run`, `info` and `bench` share: a file that can be run, of ours or ONNX. */
#pragma once

#include "lodectl.h"

#include "lode_model.h"

struct runnable {
	struct lode_model *model; /* one of the two */
	struct lode_onnx_graph *graph;
	void *scratch;
	uint8_t *onnx; /* the bytes of the graph */
};

/* Loads and verifies; an exit code after having complained. */
int runnable_open(struct runnable *r, const char *path);
void runnable_close(struct runnable *r);
/* Floats of input i; 0 past the last. */
size_t runnable_inputs(const struct runnable *r, unsigned i);
/* Runs once; *out is malloc'd. */
int runnable_run(const struct runnable *r, const float *const *in, float **out, size_t *n_out,
	struct lode_err *err);
/* Seeded inputs that look like the model's schema, or standard normal for a graph. */
void runnable_sample(const struct runnable *r, uint64_t seed, float **in);

/* model_bench.c */
int model_bench(struct lodectl *ctl, int argc, char **argv);
/* model_push.c */
int model_push(struct lodectl *ctl, int argc, char **argv);
int model_commit(struct lodectl *ctl, int argc, char **argv);
int model_rollback(struct lodectl *ctl, int argc, char **argv);
/* model_run.c */
int model_run(struct lodectl *ctl, int argc, char **argv);

enum { MAX_INPUTS = 16 };
