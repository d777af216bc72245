/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_snapshot.h"

#include <stdlib.h>

#define SLOTS_LOG2_MAX 24

struct lode_neighbours *lode_neighbours_new(uint32_t n, uint64_t seed)
{
	uint32_t n_slots = 2;
	while (n_slots < 2 * (uint64_t)n && n_slots < 1u << SLOTS_LOG2_MAX)
		n_slots *= 2;
	struct lode_neighbours *t = calloc(1, sizeof(*t) + n_slots * sizeof(t->slots[0]));
	if (t == NULL)
		return NULL;
	t->refs = 1;
	t->n_max = LODE_MIN(n, n_slots / 2);
	t->mask = n_slots - 1;
	t->seed = seed;
	return t;
}

int lode_neighbours_add(struct lode_neighbours *t, const struct lode_neighbour *neighbour)
{
	struct lode_neighbour_slot *slot =
		&t->slots[lode_neighbours_slot(t, neighbour->port_idx, &neighbour->ip)];
	if (!slot->used) {
		if (t->n == t->n_max)
			return -ENOSPC;
		t->n++;
	}
	slot->used = true;
	slot->entry = *neighbour;
	return 0;
}

void lode_neighbours_ref(struct lode_neighbours *t)
{
	t->refs++;
}

void lode_neighbours_unref(struct lode_neighbours *t)
{
	if (t != NULL && --t->refs == 0)
		free(t);
}
