/* SPDX-License-Identifier: BSD-3-Clause */
/* Values by name: open addressing, at most half full. */
#include "graph.h"

#include <stdlib.h>

static uint64_t hash_name(const uint8_t *name, uint64_t n)
{
	uint64_t h = n;
	for (uint64_t i = 0; i < n; i++)
		h = (h ^ name[i]) * 0x100000001b3;
	return lode_mix64(h);
}

static int *bucket_of(const struct lode_onnx_graph *g, const uint8_t *name, uint64_t n)
{
	size_t at = hash_name(name, n) & (g->n_buckets - 1);
	while (g->buckets[at]) {
		const char *have = g->values[g->buckets[at] - 1].name;
		if (strlen(have) == n && !memcmp(have, name, n))
			break;
		at = (at + 1) & (g->n_buckets - 1);
	}
	return &g->buckets[at];
}

int values_find(const struct lode_onnx_graph *g, const char *name)
{
	return *bucket_of(g, (const uint8_t *)name, strlen(name)) - 1;
}

bool values_grow(struct lode_onnx_graph *g)
{
	size_t n = g->n_buckets ? 2 * g->n_buckets : 64;
	int *buckets = calloc(n, sizeof(*buckets));
	struct value *values = buckets ? reallocarray(g->values, n, sizeof(*values)) : NULL;
	if (!values) {
		free(buckets);
		return false;
	}
	free(g->buckets);
	g->buckets = buckets;
	g->n_buckets = n;
	g->values = values;
	for (size_t i = 0; i < g->n_values; i++)
		*bucket_of(g, (const uint8_t *)values[i].name, strlen(values[i].name)) = (int)i + 1;
	return true;
}

static bool is_name(const uint8_t *name, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (name[i] < 0x20 || name[i] == 0x7f)
			return false;
	return n < 1024;
}

int value_index(
	struct lode_onnx_graph *g, const uint8_t *name, uint64_t n, int *idx, struct lode_err *err)
{
	*idx = NO_VALUE;
	if (!n)
		return 0;
	if (!is_name(name, n))
		return lode_err_set(err, -EBADMSG,
			"a value name of %llu bytes is too long or not printable",
			(unsigned long long)n);
	if (2 * g->n_values >= g->n_buckets && !values_grow(g))
		return lode_err_set(err, -ENOMEM, "no memory for %zu values", g->n_values);
	int *bucket = bucket_of(g, name, n);
	if (!*bucket) {
		char *copy = strndup((const char *)name, n);
		if (!copy)
			return lode_err_set(err, -ENOMEM, "no memory for a value name");
		g->values[g->n_values] = (struct value){.name = copy};
		*bucket = (int)++g->n_values;
	}
	*idx = *bucket - 1;
	return 0;
}

int value_define(struct lode_onnx_graph *g, int idx, struct lode_err *err)
{
	struct value *v = &g->values[idx];
	if (v->defined)
		return lode_err_set(err, -EEXIST, "value '%.80s' is defined twice", v->name);
	v->defined = true;
	return 0;
}
