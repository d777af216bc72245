/* SPDX-License-Identifier: BSD-3-Clause */
/* Overload: what a busy worker leaves out, so that packets are what suffers last. A level is entered at its
 * load and left 5 % below. */
#include "worker.h"

#define HIGH_PERMILLE	800
#define SEVERE_PERMILLE 900
#define LEAVE_PERMILLE	50
#define LEVEL_SHIFT	16

static enum lode_overload level_of(enum lode_overload now, uint32_t permille)
{
	uint32_t high = HIGH_PERMILLE - (now >= LODE_LOAD_HIGH ? LEAVE_PERMILLE : 0);
	uint32_t severe = SEVERE_PERMILLE - (now >= LODE_LOAD_SEVERE ? LEAVE_PERMILLE : 0);
	return permille >= severe ? LODE_LOAD_SEVERE
	       : permille >= high ? LODE_LOAD_HIGH
				  : LODE_LOAD_NORMAL;
}

void lode_worker_set_load(struct lode_worker *w, uint32_t permille)
{
	enum lode_overload before = w->load.level;
	permille = LODE_MIN(permille, 1000u);
	w->load.permille = permille;
	w->load.level = level_of(before, permille);
	if (before < LODE_LOAD_HIGH && w->load.level >= LODE_LOAD_HIGH)
		lode_counter_add(&w->counters.overload_high, 1);
	if (before < LODE_LOAD_SEVERE && w->load.level >= LODE_LOAD_SEVERE)
		lode_counter_add(&w->counters.overload_severe, 1);
	atomic_store_explicit(&w->load_word, (uint32_t)w->load.level << LEVEL_SHIFT | permille,
		memory_order_relaxed);
}

struct lode_load lode_worker_load(const struct lode_worker *w)
{
	uint32_t word = atomic_load_explicit(&w->load_word, memory_order_relaxed);
	return (struct lode_load){.permille = word & ((1u << LEVEL_SHIFT) - 1),
		.level = (enum lode_overload)(word >> LEVEL_SHIFT)};
}
