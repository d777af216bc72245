/* SPDX-License-Identifier: BSD-3-Clause */
/* Finds for every tensor of the target the one of the base it came from: same content, same name, then the most
 * similar one of the same shape, then one that grew or shrank by rows, or was cast. */
#include "plan.h"

#include "lowrank.h"
#include "stride.h"
#include "words.h"

#include <stdio.h>

#define CANDIDATES_MAX 64 /* base tensors compared for one target tensor */

/* A tensor of the base, findable by name, content or shape. */
struct base_tensor {
	const struct lode_extent *e;
	uint64_t at; /* in the base space */
	const uint8_t *data;
	uint64_t content; /* sampled hash */
	bool taken;
};

/* Open addressing over indices + 1; several entries may share a key. */
struct index {
	uint32_t *slot;
	uint32_t mask;
};

struct matcher {
	const struct space *base, *target;
	struct base_tensor *tensors;
	uint32_t n_tensors;
	struct index by_name, by_content, by_shape;
	struct plan *plan;
	size_t cap_segments;
	uint64_t next_base; /* where the base goes on after the last matched range */
};

/* ---- keys ---- */

static uint64_t hash_text(const char *text)
{
	uint64_t h = 1;
	for (; *text; text++)
		h = lode_mix64(h ^ (uint8_t)*text);
	return h;
}

/* Length and up to 64 words spread over the bytes; equality is checked before it is believed. */
static uint64_t hash_sample(const uint8_t *data, uint64_t n)
{
	uint64_t h = lode_mix64(n), step = LODE_MAX(n / 64, 8u), word;
	for (uint64_t at = 0; at + 8 <= n; at += step) {
		memcpy(&word, data + at, 8);
		h = lode_mix64(h ^ word);
	}
	return h;
}

static uint64_t hash_shape(const struct lode_extent *e)
{
	return lode_mix64(e->cols ^ lode_mix64((uint64_t)e->dtype));
}

static int index_init(struct index *x, uint32_t n)
{
	uint32_t size = 16;
	while (size < 2 * n)
		size *= 2;
	x->slot = calloc(size, sizeof(*x->slot));
	x->mask = size - 1;
	return x->slot ? 0 : -ENOMEM;
}

static void index_add(struct index *x, uint64_t key, uint32_t i)
{
	uint32_t at = (uint32_t)key & x->mask;
	while (x->slot[at])
		at = (at + 1) & x->mask;
	x->slot[at] = i + 1;
}

/* Next tensor whose key may be this one; *at starts as the key. UINT32_MAX at the end. */
static uint32_t index_next(const struct index *x, uint32_t *at)
{
	uint32_t i = x->slot[*at & x->mask];
	*at = (*at & x->mask) + 1;
	return i - 1;
}

/* ---- similarity ---- */

static enum lode_delta_type type_of(enum lode_dtype d)
{
	switch (d) {
	case LODE_F64:
		return LODE_DELTA_F64;
	case LODE_F32:
		return LODE_DELTA_F32;
	case LODE_F16:
		return LODE_DELTA_F16;
	case LODE_BF16:
		return LODE_DELTA_BF16;
	case LODE_U64:
	case LODE_I64:
		return LODE_DELTA_U64;
	case LODE_U32:
	case LODE_I32:
		return LODE_DELTA_U32;
	case LODE_U16:
	case LODE_I16:
		return LODE_DELTA_U16;
	default:
		return LODE_DELTA_U8;
	}
}

/* Mean bit length of the residuals of up to 256 elements. */
static double distance(enum lode_delta_type t, const uint8_t *a, const uint8_t *b, uint64_t n_bytes)
{
	unsigned w = type_bytes(t);
	uint64_t n = n_bytes / w, step = LODE_MAX(n / 256, 1u), sum = 0, count = 0;
	for (uint64_t i = 0; i < n; i += step, count++) {
		uint64_t z = word_residual(word_load(a + i * w, w), word_load(b + i * w, w), 8 * w,
			type_is_float(t), COMBINE_DIFF);
		sum += z ? 64u - (unsigned)__builtin_clzll(z) : 0;
	}
	return count ? (double)sum / (double)count : 1e9;
}

static struct base_tensor *find_content(
	struct matcher *m, const struct lode_extent *e, const uint8_t *data)
{
	uint64_t key = hash_sample(data, e->n_bytes);
	uint32_t at = (uint32_t)key, i;
	while ((i = index_next(&m->by_content, &at)) != UINT32_MAX) {
		struct base_tensor *b = &m->tensors[i];
		if (b->content == key && b->e->n_bytes == e->n_bytes &&
			!memcmp(b->data, data, e->n_bytes))
			return b;
	}
	return NULL;
}

static struct base_tensor *find_name(struct matcher *m, const struct lode_extent *e)
{
	uint32_t at = (uint32_t)hash_text(e->name), i;
	while ((i = index_next(&m->by_name, &at)) != UINT32_MAX)
		if (!strcmp(m->tensors[i].e->name, e->name))
			return &m->tensors[i];
	return NULL;
}

/* The most similar tensor of the same type and row length; the same number of rows counts more. */
static struct base_tensor *find_similar(
	struct matcher *m, const struct lode_extent *e, const uint8_t *data)
{
	struct base_tensor *best = NULL;
	double best_distance = 1e9;
	uint32_t at = (uint32_t)hash_shape(e), i;
	for (unsigned n = 0;
		n < CANDIDATES_MAX && (i = index_next(&m->by_shape, &at)) != UINT32_MAX; n++) {
		struct base_tensor *b = &m->tensors[i];
		if (b->e->dtype != e->dtype || (b->e->cols != e->cols && e->rows != 1))
			continue;
		double d = distance(
			type_of(e->dtype), data, b->data, LODE_MIN(e->n_bytes, b->e->n_bytes));
		d += (b->e->n_bytes != e->n_bytes) + b->taken;
		if (d < best_distance) {
			best_distance = d;
			best = b;
		}
	}
	return best;
}

static bool casts(enum lode_dtype a, enum lode_dtype b)
{
	bool ok_a = a == LODE_F32 || a == LODE_F16 || a == LODE_BF16;
	bool ok_b = b == LODE_F32 || b == LODE_F16 || b == LODE_BF16;
	return ok_a && ok_b && a != b;
}

static struct base_tensor *find_base(
	struct matcher *m, const struct lode_extent *e, const uint8_t *data)
{
	struct base_tensor *b = find_content(m, e, data);
	if (b)
		return b;
	b = find_name(m, e);
	if (b && b->e->dtype == e->dtype && (b->e->cols == e->cols || e->rank <= 1))
		return b;
	if (b && b->e->rows * b->e->cols == e->rows * e->cols && casts(b->e->dtype, e->dtype))
		return b;
	return find_similar(m, e, data);
}

/* ---- segments ---- */

static struct segment *add_segment(struct matcher *m, uint64_t target, uint64_t len, uint64_t base)
{
	struct plan *p = m->plan;
	if (!len)
		return NULL;
	if (p->n_segments == m->cap_segments) {
		size_t cap = m->cap_segments * 2 + 64;
		struct segment *grown = realloc(p->segments, cap * sizeof(*grown));
		if (!grown)
			return NULL;
		p->segments = grown;
		m->cap_segments = cap;
	}
	struct segment *s = &p->segments[p->n_segments++];
	*s = (struct segment){.target = target, .len = len, .base = base, .tensor = p->n_tensors};
	return s;
}

static void add_tensor(struct plan *p, const struct lode_extent *e)
{
	struct plan_tensor *t = &p->tensors[p->n_tensors];
	*t = (struct plan_tensor){
		.name = e->name, .type = type_of(e->dtype), .rows = e->rows, .cols = e->cols};
}

/* Bytes between tensors, or a file nobody can parse. */
static int plan_bytes(struct matcher *m, const struct lode_extent *e, uint64_t at)
{
	uint64_t base_left = 0;
	const uint8_t *base = space_at(m->base, m->next_base, &base_left);
	uint64_t left;
	const uint8_t *data = space_at(m->target, at, &left);
	struct stride_run *runs = NULL;
	size_t n_runs = stride_find(data, e->n_bytes, base, LODE_MIN(base_left, e->n_bytes), &runs);
	uint64_t done = 0;
	int rc = 0;
	for (size_t i = 0; i <= n_runs && !rc; i++) {
		uint64_t start = i < n_runs ? runs[i].offset : e->n_bytes;
		if (start > done && !add_segment(m, at + done, start - done, m->next_base + done))
			rc = -ENOMEM;
		if (i == n_runs)
			break;
		struct segment *s =
			rc ? NULL : add_segment(m, at + start, runs[i].len, m->next_base + start);
		if (!s) {
			rc = -ENOMEM;
			break;
		}
		s->elements = s->matched = true;
		s->type = s->base_type = runs[i].type;
		done = start + runs[i].len;
	}
	free(runs);
	m->next_base = LODE_MIN(m->next_base + e->n_bytes, m->base->size);
	return rc;
}

static int plan_matched(
	struct matcher *m, const struct lode_extent *e, uint64_t at, struct base_tensor *b)
{
	uint64_t same = LODE_MIN(e->n_bytes, b->e->n_bytes);
	if (b->e->dtype != e->dtype)
		same = e->n_bytes;
	struct segment *s = add_segment(m, at, same, b->at);
	if (!s)
		return -ENOMEM;
	s->elements = s->matched = true;
	s->type = type_of(e->dtype);
	s->base_type = type_of(b->e->dtype);
	if (same < e->n_bytes) {
		s = add_segment(m, at + same, e->n_bytes - same, b->at + b->e->n_bytes);
		if (!s)
			return -ENOMEM;
		s->elements = true;
		s->type = s->base_type = type_of(e->dtype);
		s->first_element = same / type_bytes(s->type);
	}
	b->taken = true;
	m->next_base = b->at + b->e->n_bytes;
	m->plan->n_matched++;
	return 0;
}

static int plan_tensor(struct matcher *m, const struct lode_extent *e, uint64_t at)
{
	uint64_t left;
	const uint8_t *data = space_at(m->target, at, &left);
	struct base_tensor *b = find_base(m, e, data);
	if (b) {
		int rc = plan_matched(m, e, at, b);
		bool unchanged = b->e->n_bytes == e->n_bytes && !memcmp(b->data, data, e->n_bytes);
		m->plan->n_unchanged += unchanged;
		if (!rc && !unchanged && b->e->dtype == e->dtype && b->e->n_bytes == e->n_bytes)
			m->plan->tensors[m->plan->n_tensors].factors =
				low_rank_find(type_of(e->dtype), b->data, data, e->rows, e->cols);
		return rc;
	}
	struct segment *s = add_segment(m, at, e->n_bytes, m->next_base);
	if (!s)
		return -ENOMEM;
	s->elements = true;
	s->type = s->base_type = type_of(e->dtype);
	return 0;
}

static int plan_extent(struct matcher *m, const struct lode_extent *e, uint64_t at)
{
	if (!e->n_bytes)
		return 0;
	bool tensor =
		e->name[0] && e->dtype != LODE_BYTES && e->n_bytes % lode_dtype_size(e->dtype) == 0;
	add_tensor(m->plan, e);
	int rc = tensor ? plan_tensor(m, e, at) : plan_bytes(m, e, at);
	m->plan->n_tensors++;
	return rc;
}

/* ---- the whole ---- */

static int collect_base(struct matcher *m)
{
	const struct lode_package *pkg = &m->base->package;
	size_t n = m->base->parsed ? pkg->n_extents : 0;
	uint64_t at = 0;
	m->tensors = calloc(n + 1, sizeof(*m->tensors));
	if (!m->tensors || index_init(&m->by_name, (uint32_t)n) ||
		index_init(&m->by_content, (uint32_t)n) || index_init(&m->by_shape, (uint32_t)n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct lode_extent *e = &pkg->extents[i];
		uint64_t start = at;
		at += e->n_bytes;
		if (!e->name[0] || e->dtype == LODE_BYTES || !e->n_bytes ||
			e->n_bytes % lode_dtype_size(e->dtype))
			continue;
		struct base_tensor *b = &m->tensors[m->n_tensors];
		*b = (struct base_tensor){.e = e, .at = start, .data = lode_extent_data(pkg, e)};
		b->content = hash_sample(b->data, e->n_bytes);
		index_add(&m->by_name, hash_text(e->name), m->n_tensors);
		index_add(&m->by_content, b->content, m->n_tensors);
		index_add(&m->by_shape, hash_shape(e), m->n_tensors);
		m->n_tensors++;
	}
	return 0;
}

/* A file starts where the base's file of that name starts, or the only one. */
static void enter_file(struct matcher *m, const char *name)
{
	uint64_t at = 0;
	for (uint32_t f = 0; f < m->base->n_files; f++) {
		if (m->base->n_files == 1 || !strcmp(m->base->files[f].name, name)) {
			m->next_base = at;
			return;
		}
		at += m->base->files[f].size;
	}
}

static int plan_files(struct matcher *m)
{
	uint64_t at = 0;
	int rc = 0;
	m->plan->tensors = calloc(m->target->n_files + 1, sizeof(*m->plan->tensors));
	if (!m->plan->tensors)
		return -ENOMEM;
	for (uint32_t f = 0; f < m->target->n_files && !rc; f++) {
		enter_file(m, m->target->files[f].name);
		struct lode_extent whole = {.name = "", .n_bytes = m->target->files[f].size};
		rc = plan_extent(m, &whole, at);
		at += whole.n_bytes;
	}
	return rc;
}

static int plan_package(struct matcher *m)
{
	const struct lode_package *pkg = &m->target->package;
	uint64_t at = 0;
	int rc = 0;
	m->plan->tensors = calloc(pkg->n_extents + 1, sizeof(*m->plan->tensors));
	if (!m->plan->tensors)
		return -ENOMEM;
	for (size_t i = 0; i < pkg->n_extents && !rc; i++) {
		if (!i || pkg->extents[i].file_idx != pkg->extents[i - 1].file_idx)
			enter_file(m, m->target->files[pkg->extents[i].file_idx].name);
		rc = plan_extent(m, &pkg->extents[i], at);
		at += pkg->extents[i].n_bytes;
	}
	return rc;
}

int plan_make(struct plan *p, const struct space *base, const struct space *target)
{
	struct matcher m = {.base = base, .target = target, .plan = p};
	*p = (struct plan){0};
	int rc = collect_base(&m);
	if (!rc)
		rc = target->parsed ? plan_package(&m) : plan_files(&m);
	free(m.tensors);
	free(m.by_name.slot);
	free(m.by_content.slot);
	free(m.by_shape.slot);
	if (rc)
		plan_clear(p);
	return rc;
}

void plan_clear(struct plan *p)
{
	for (uint32_t i = 0; i < p->n_tensors; i++)
		low_rank_free(p->tensors[i].factors);
	free(p->segments);
	free(p->tensors);
	*p = (struct plan){0};
}
