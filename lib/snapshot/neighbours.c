/* SPDX-License-Identifier: BSD-3-Clause */
/* Open addressing with linear probing, at most half full, filled before it is published. */
#include "lode_snapshot.h"

#include <stdlib.h>

#define SLOTS_LOG2_MAX 24

struct lode_neighbours {
	uint32_t refs;
	uint32_t n, n_max, mask;
	uint64_t seed;
	struct slot {
		bool used;
		struct lode_neighbour entry;
	} slots[];
};

/* Finalizer of MurmurHash3, inline: one look-up per packet. Folding first brings the host's bits, which are
 * the top ones of a loaded address, to where a multiplication spreads them. */
static uint32_t hash_of(const struct lode_neighbours *t, uint8_t port_idx, const struct lode_ip *ip)
{
	uint64_t hash = (lode_load_le64(ip->b) ^ t->seed) * 0x9e3779b97f4a7c15ull;
	hash ^= lode_load_le64(ip->b + 8) + port_idx;
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdull;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ull;
	return (uint32_t)(hash >> 32);
}

static bool same_ip(const struct lode_ip *a, const struct lode_ip *b)
{
	return lode_load_le64(a->b) == lode_load_le64(b->b) &&
	       lode_load_le64(a->b + 8) == lode_load_le64(b->b + 8);
}

/* Slot of this key, or the free one where it would go: there always is one. */
static uint32_t find(const struct lode_neighbours *t, uint8_t port_idx, const struct lode_ip *ip)
{
	uint32_t i = hash_of(t, port_idx, ip) & t->mask;
	for (; t->slots[i].used; i = (i + 1) & t->mask) {
		const struct lode_neighbour *e = &t->slots[i].entry;
		if (e->port_idx == port_idx && same_ip(&e->ip, ip))
			break;
	}
	return i;
}

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
	struct slot *slot = &t->slots[find(t, neighbour->port_idx, &neighbour->ip)];
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

const struct lode_neighbour *lode_neighbours_lookup(
	const struct lode_neighbours *t, uint8_t port_idx, const struct lode_ip *ip)
{
	const struct slot *slot = &t->slots[find(t, port_idx, ip)];
	return slot->used ? &slot->entry : NULL;
}
