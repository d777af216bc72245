/* SPDX-License-Identifier: BSD-3-Clause */
/* Four paths for suite path: their true state over time, and what probes make of it. A world is decided by
 * its scenario and seed alone, never by who chooses paths in it. */
#pragma once

#include "lode_selector.h"

#define WORLD_PATHS   4
#define WORLD_TICK_NS (10 * LODE_NS_PER_MS)
#define WORLD_PROBES  64 /* in flight per path */
#define WORLD_GOOD    5	 /* replies within a second bring a path up */

enum scenario {
	SCENARIO_REGULAR,
	SCENARIO_HIDDEN,
	SCENARIO_CALM,
	SCENARIO_FLAPPING,
	SCENARIO_FLAPPING_ON,
	SCENARIO_DRIFT,
	SCENARIO_ALL_BAD,
	SCENARIO_RETURN,
	SCENARIO_CORRELATED,
	SCENARIO_EQUAL,
	N_SCENARIOS,
};
extern const char *const scenario_names[N_SCENARIOS];

enum regime { GOOD, DEGRADED, BROWN_OUT, OUTAGE, N_REGIMES };

struct world_path {
	/* The truth. */
	double base_rtt_ms;
	enum regime regime;
	uint64_t regime_until_ns;
	double rtt_ms, jitter_ms, loss,
		penalty;	 /* penalty: what data loses and probes do not see */
	double visible, utility; /* of a flow begun now, in [-1, 1]: without and with penalty */
	/* Probes and life, as lib/path does it. */
	uint64_t probe_due_ns, heard_ns, up_ns, hold_until_ns, backoff_ns;
	uint64_t good_ns[WORLD_GOOD];
	uint32_t n_good;
	bool up;
	struct {
		uint64_t sent_ns, back_ns; /* back: LODE_NEVER_NS if lost */
	} probe[WORLD_PROBES];
	uint32_t n_sent, n_judged;
	double srtt_ms, rttvar_ms;
	struct lode_selector_loss loss_seen;
};

struct world {
	enum scenario scenario;
	struct lode_rng rng;
	uint64_t now_ns, penalty_ns;
	enum regime common; /* CORRELATED: what paths 0 and 1 are in together */
	uint64_t common_until_ns;
	struct world_path path[WORLD_PATHS];
};

void world_init(struct world *w, enum scenario scenario, uint64_t seed);
/* On to the next tick. */
void world_step(struct world *w);
/* What the control lcore would know now; returns the mask of paths that are up. */
uint8_t world_estimates(
	const struct world *w, struct lode_selector_path estimates[LODE_SELECTOR_PATHS]);
double world_best(const struct world *w);
