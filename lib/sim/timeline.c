/* SPDX-License-Identifier: BSD-3-Clause */
#include "timeline.h"

#include <stdlib.h>

#define NOWHERE UINT32_MAX

int timeline_init(struct timeline *t, uint32_t n_things)
{
	*t = (struct timeline){.n_things = n_things,
		.due_ns = malloc(n_things * sizeof(*t->due_ns)),
		.place = malloc(n_things * sizeof(*t->place)),
		.things = malloc(n_things * sizeof(*t->things))};
	if (!t->due_ns || !t->place || !t->things) {
		timeline_fini(t);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n_things; i++)
		t->place[i] = NOWHERE;
	return 0;
}

void timeline_fini(struct timeline *t)
{
	free(t->due_ns);
	free(t->place);
	free(t->things);
	*t = (struct timeline){0};
}

static bool before(const struct timeline *t, uint32_t a, uint32_t b)
{
	return t->due_ns[a] != t->due_ns[b] ? t->due_ns[a] < t->due_ns[b] : a < b;
}

static void put(struct timeline *t, uint32_t place, uint32_t thing)
{
	t->things[place] = thing;
	t->place[thing] = place;
}

/* Moves the thing at a place to where its time belongs. */
static void settle(struct timeline *t, uint32_t place, uint32_t thing)
{
	while (place && before(t, thing, t->things[(place - 1) / 2])) {
		put(t, place, t->things[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * place + 1;
		if (child >= t->n)
			break;
		if (child + 1 < t->n && before(t, t->things[child + 1], t->things[child]))
			child++;
		if (before(t, thing, t->things[child]))
			break;
		put(t, place, t->things[child]);
		place = child;
	}
	put(t, place, thing);
}

void timeline_set(struct timeline *t, uint32_t thing, uint64_t due_ns)
{
	uint32_t place = t->place[thing];
	if (due_ns == LODE_NEVER_NS) {
		if (place == NOWHERE)
			return;
		t->place[thing] = NOWHERE;
		uint32_t last = t->things[--t->n];
		if (last != thing)
			settle(t, place, last);
		return;
	}
	if (place != NOWHERE && t->due_ns[thing] == due_ns)
		return;
	t->due_ns[thing] = due_ns;
	settle(t, place == NOWHERE ? t->n++ : place, thing);
}
