/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_learn.h"
#include "lode_sim.h"

#include <stdio.h>

/* Sessions of whole gateways over real capacity traces and lossy radios, as samples for the trainer. */
int record_command(int argc, char **argv);
void record_usage(FILE *f);

/* ---- record_traces.c: what links could carry in the real world ---- */

#define TRACES_MAX 64

/* Kilobits per second of each step; step_ms 1 (opportunities of mahimahi traces) or 1000. */
struct real_trace {
	char name[LODE_LEARN_NAME_BYTES];
	uint32_t step_ms, n;
	uint32_t *kbps;
	double mean_kbps;
};
struct real_traces {
	unsigned n;
	struct real_trace traces[TRACES_MAX];
	/* Measured loss of 25 s each, shares. */
	unsigned n_losses;
	float *losses;
};
/* From the folder of the collected data sets. -ENOENT when there is none. */
int real_traces_load(struct real_traces *all, const char *folder, struct lode_err *err);
void real_traces_free(struct real_traces *all);

/* ---- record_link.c: one link of a session ---- */

struct radio {
	double loss, bad_loss; /* long-run share; within the bad state */
	double bad_ms, good_ms;
};

struct session_link {
	struct lode_rng rng;
	struct lode_link_config config;
	struct lode_link_trace *trace;
	double mean_kbps, random_loss;
	uint64_t delay_ns;
	const struct real_traces *real;
	/* running */
	struct radio radio;
	bool has_radio, has_handover, bad;
	uint32_t regime_until_ms, handover_until_ms;
};

/* Draws everything of a link; name: of its capacity. */
int session_link_init(struct session_link *l, const struct real_traces *real, uint64_t seed,
	uint32_t length_ms, char name[LODE_LEARN_NAME_BYTES], struct lode_err *err);
void session_link_fini(struct session_link *l);
/* What the radio does in that millisecond. True: config has changed. */
bool session_link_step(struct session_link *l, uint32_t ms);
