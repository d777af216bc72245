/* SPDX-License-Identifier: BSD-3-Clause */
/* Many seeds in parallel processes: swarm.c reads options, jobs.c runs the processes, report.c adds up what they
 * say, shrink.c looks for the fewest faults that still break a promise. */
#pragma once

#include "lode_swarm.h"

#include <stdio.h>

#define JOBS_MAX 64

/* What became of one seed. Travels through a pipe in one piece. */
struct verdict {
	struct lode_swarm_spec spec;
	struct lode_swarm_result result;
	double cpu_s;
	bool twice, violated;
	char text[400]; /* why */
};

struct plan {
	struct lode_swarm_spec spec; /* of every seed; seed: the first one */
	uint64_t n_seeds;
	unsigned n_jobs;
	unsigned twice_every; /* seeds that this divides run again to compare digests; 0: none */
};

struct report {
	struct plan plan;
	uint64_t n_done, n_twice, n_violations;
	double virtual_s, cpu_s, wall_s;
	uint64_t sent_pkts, lan_pkts, wan_pkts, further_pkts;
	uint64_t kind_faults[LODE_SWARM_N_KINDS];
	struct lode_sim_totals totals;
#define N_SLOWEST 5
	struct {
		uint64_t seed;
		double cpu_s;
	} slowest[N_SLOWEST];
	struct verdict *violations; /* n_violations, the first VIOLATIONS_MAX of them */
#define VIOLATIONS_MAX 100
};

/* Runs all seeds of the plan; calls back for each as it is done, in the parent. A process that dies is a
 * violation of its seed. 0 or -errno. */
int jobs_run(const struct plan *plan, void (*done)(void *ctx, const struct verdict *v), void *ctx,
	struct lode_err *err);
/* One spec, once. */
int jobs_run_one(const struct lode_swarm_spec *spec, struct verdict *v, struct lode_err *err);

void report_add(struct report *r, const struct verdict *v);
void report_text(const struct report *r);
void report_json(const struct report *r);
/* The command that runs the spec again. */
void report_replay(FILE *f, const struct lode_swarm_spec *spec);

/* Leaves out faults of a seed that breaks a promise as long as it still breaks one. */
int shrink(const struct plan *plan, struct lode_err *err);

int swarm_command(int argc, char **argv);
void swarm_usage(FILE *f);
