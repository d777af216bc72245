/* SPDX-License-Identifier: BSD-3-Clause */
/* timeline: who is due next, among things known by small numbers. A binary heap; equal times come out by
 * number, so that the order never depends on history. */
#pragma once

#include "lode_base.h"

struct timeline {
	uint32_t n, n_things;
	uint64_t *due_ns; /* by thing */
	uint32_t *place;  /* by thing; UINT32_MAX: not in it */
	uint32_t *things; /* by place */
};

int timeline_init(struct timeline *t, uint32_t n_things);
void timeline_fini(struct timeline *t);
/* LODE_NEVER_NS takes it out. */
void timeline_set(struct timeline *t, uint32_t thing, uint64_t due_ns);
static inline uint64_t timeline_first_ns(const struct timeline *t)
{
	return t->n ? t->due_ns[t->things[0]] : LODE_NEVER_NS;
}
static inline uint32_t timeline_first(const struct timeline *t)
{
	return t->things[0];
}
