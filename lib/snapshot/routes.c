/* SPDX-License-Identifier: BSD-3-Clause */
/* Longest prefix match by a trie of 8-bit strides with leaf pushing. IPv4 starts 12 bytes down, at the
 * node of ::ffff:0:0/96, so a lookup costs at most 4 loads there and 16 for IPv6. A cell is either the
 * index of a child node or that of a route; route 0 is "none". */
#include "lode_snapshot.h"

#include <stdlib.h>

#define STRIDE	  8
#define CELLS	  (1u << STRIDE)
#define CHILD	  LODE_ROUTES_CHILD
#define V4_DEPTH  12
#define MAX_ROUTE UINT16_MAX

/* Length of the prefix that wrote each route cell: a shorter one never overwrites it. */
struct lode_routes_lens {
	uint8_t len[CELLS];
};

static bool reserve(void **array, uint32_t n, size_t size)
{
	/* Arrays grow by doubling: room ends at every power of two. */
	if (n & (n - 1))
		return true;
	void *grown = realloc(*array, (n ? 2 * (size_t)n : 1) * size);
	if (grown != NULL)
		*array = grown;
	return grown != NULL;
}

/* A new node whose cells all repeat one cell of its parent. Returns its index, 0 without memory. */
static uint32_t new_node(struct lode_routes *r, uint32_t cell, uint8_t len)
{
	if (!reserve((void **)&r->nodes, r->n_nodes, sizeof(r->nodes[0])) ||
		!reserve((void **)&r->lens, r->n_nodes, sizeof(r->lens[0])))
		return 0;
	for (unsigned i = 0; i < CELLS; i++)
		r->nodes[r->n_nodes].cell[i] = cell;
	memset(&r->lens[r->n_nodes], len, sizeof(r->lens[0]));
	return r->n_nodes++;
}

/* Child below a cell, made if there is none. Returns its index or 0. */
static uint32_t child_of(struct lode_routes *r, uint32_t at, uint8_t cell)
{
	uint32_t value = r->nodes[at].cell[cell];
	if (value & CHILD)
		return value & ~CHILD;
	uint32_t child = new_node(r, value, r->lens[at].len[cell]);
	if (child != 0)
		r->nodes[at].cell[cell] = child | CHILD;
	return child;
}

/* Writes a route into every cell below that holds none of a longer prefix. */
static void push(
	struct lode_routes *r, uint32_t at, unsigned first, unsigned n, uint32_t route, uint8_t len)
{
	for (unsigned i = first; i < first + n; i++) {
		uint32_t value = r->nodes[at].cell[i];
		if (value & CHILD) {
			push(r, value & ~CHILD, 0, CELLS, route, len);
		} else if (r->lens[at].len[i] <= len) {
			r->nodes[at].cell[i] = route;
			r->lens[at].len[i] = len;
		}
	}
}

struct lode_routes *lode_routes_new(void)
{
	static const uint8_t v4_prefix[V4_DEPTH] = {[10] = 0xff, [11] = 0xff};
	struct lode_routes *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->refs = 1;
	bool ok = reserve((void **)&r->routes, 0, sizeof(struct lode_route));
	if (ok) {
		r->routes[r->n_routes++] = (struct lode_route){.kind = LODE_ROUTE_NONE};
		new_node(r, 0, 0);
		ok = r->n_nodes == 1;
	}
	uint32_t at = 0;
	for (unsigned i = 0; ok && i < V4_DEPTH; i++) {
		at = child_of(r, at, v4_prefix[i]);
		ok = at != 0;
	}
	r->v4_root = at;
	if (!ok) {
		lode_routes_unref(r);
		return NULL;
	}
	return r;
}

int lode_routes_add(
	struct lode_routes *r, const struct lode_prefix *prefix, const struct lode_route *route)
{
	if (prefix->len > 128)
		return -EINVAL;
	if (r->n_routes == MAX_ROUTE)
		return -ENOSPC;
	if (!reserve((void **)&r->routes, r->n_routes, sizeof(struct lode_route)))
		return -ENOMEM;
	uint32_t at = 0;
	unsigned depth = 0;
	for (; prefix->len > (depth + 1) * STRIDE; depth++) {
		at = child_of(r, at, prefix->ip.b[depth]);
		if (at == 0)
			return -ENOMEM;
	}
	unsigned span = 1u << ((depth + 1) * STRIDE - prefix->len);
	unsigned first = depth < 16 ? prefix->ip.b[depth] & ~(span - 1) : 0;
	r->routes[r->n_routes] = *route;
	push(r, at, first, span, r->n_routes, prefix->len);
	r->n_routes++;
	return 0;
}

void lode_routes_ref(struct lode_routes *r)
{
	r->refs++;
}

void lode_routes_unref(struct lode_routes *r)
{
	if (r == NULL || --r->refs > 0)
		return;
	free(r->nodes);
	free(r->lens);
	free(r->routes);
	free(r);
}
