/* SPDX-License-Identifier: BSD-3-Clause */
/* The patch format as a whole: what goes in comes back, what is damaged is refused. */
#include "edits.h"
#include "lode_package.h"
#include "memory_io.h"
#include "plain_decoder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- made-up models ---- */

struct model {
	struct lode_tensor_out t[8];
	size_t n;
	uint8_t *image;
	size_t len;
};

static void add(struct model *m, const char *name, enum lode_dtype dtype, uint64_t rows,
	uint64_t cols, const void *data)
{
	m->t[m->n++] = (struct lode_tensor_out){name, dtype, 2, {rows, cols}, data};
}

static void finish(struct model *m)
{
	struct lode_err err = {0};
	cr_assert_eq(lode_safetensors_write(m->t, m->n, NULL, 0, &m->image, &m->len, &err), 0, "%s",
		err.msg);
}

static size_t trip(const struct model *a, const struct model *b)
{
	round_trip(a->image, a->len, b->image, b->len, LODE_DELTA_MODE_FAST);
	return round_trip(a->image, a->len, b->image, b->len, LODE_DELTA_MODE_DEFAULT);
}

#define ROWS 96
#define COLS 160
#define N    (ROWS * COLS)

static uint8_t *draw(enum lode_delta_type t, size_t n, uint64_t seed)
{
	struct lode_rng rng;
	uint8_t *p = malloc(n * type_bytes(t) + 8);
	lode_rng_seed(&rng, seed);
	draw_elements(&rng, t, p, n);
	return p;
}

static uint8_t *edit(enum edit e, enum lode_delta_type t, const uint8_t *from, size_t n)
{
	struct lode_rng rng;
	uint8_t *p = malloc(n * type_bytes(t) + 8);
	lode_rng_seed(&rng, 77);
	edit_elements(&rng, e, t, from, p, n, COLS);
	return p;
}

static const enum lode_dtype dtypes[] = {
	LODE_U8, LODE_U16, LODE_U32, LODE_U64, LODE_F16, LODE_BF16, LODE_F32, LODE_F64};

Test(patch, every_type_and_edit)
{
	for (unsigned t = 0; t < LODE_DELTA_N_TYPES; t++)
		for (unsigned e = 0; e < N_EDITS; e++) {
			uint8_t *from = draw(t, N, t + 1), *to = edit(e, t, from, N);
			struct model a = {0}, b = {0};
			add(&a, "w", dtypes[t], ROWS, COLS, from);
			add(&b, "w", dtypes[t], ROWS, COLS, to);
			finish(&a);
			finish(&b);
			size_t len = trip(&a, &b);
			if (e == EDIT_NONE)
				cr_assert_lt(len, 200);
			cr_assert_lt(len, b.len + 200);
			free(a.image);
			free(b.image);
			free(from);
			free(to);
		}
}

/* Sizes of patches that only a recognised structure explains. */
Test(patch, structure_is_recognised)
{
	static const struct {
		enum edit e;
		enum lode_delta_type t;
		double max_ratio;
	} cases[] = {
		{EDIT_PRUNE, LODE_DELTA_F32, 0.05},
		{EDIT_SCALE, LODE_DELTA_F32, 0.08},
		{EDIT_LOW_RANK, LODE_DELTA_F32, 0.15},
		{EDIT_SPARSE, LODE_DELTA_BF16, 0.12},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(cases); i++) {
		uint8_t *from = draw(cases[i].t, N, 5), *to = edit(cases[i].e, cases[i].t, from, N);
		struct model a = {0}, b = {0};
		add(&a, "w", dtypes[cases[i].t], ROWS, COLS, from);
		add(&b, "w", dtypes[cases[i].t], ROWS, COLS, to);
		finish(&a);
		finish(&b);
		double ratio = (double)trip(&a, &b) / (double)b.len;
		cr_expect_lt(ratio, cases[i].max_ratio, "case %zu: %.3f", i, ratio);
		free(a.image);
		free(b.image);
		free(from);
		free(to);
	}
}

Test(patch, renamed_reordered_grown_shrunk_and_cast)
{
	uint8_t *w1 = draw(LODE_DELTA_F32, N, 1), *w2 = draw(LODE_DELTA_F32, N, 2);
	uint8_t *grown = malloc(2 * N * 4), *as_bf16 = malloc(N * 2);
	struct model a = {0}, renamed = {0}, bigger = {0}, smaller = {0}, cast = {0};
	memcpy(grown, w1, N * 4);
	memcpy(grown + N * 4, w2, N * 4);
	for (size_t i = 0; i < N; i++) {
		uint32_t v = lode_load_le32(w1 + 4 * i);
		uint16_t h = (uint16_t)((v + 0x7fff + (v >> 16 & 1)) >> 16);
		memcpy(as_bf16 + 2 * i, &h, 2);
	}
	add(&a, "a", LODE_F32, ROWS, COLS, w1);
	add(&a, "b", LODE_F32, ROWS, COLS, w2);
	add(&renamed, "x", LODE_F32, ROWS, COLS, w2);
	add(&renamed, "y", LODE_F32, ROWS, COLS, w1);
	add(&bigger, "a", LODE_F32, 2 * ROWS, COLS, grown);
	add(&smaller, "a", LODE_F32, ROWS / 2, COLS, w1);
	add(&cast, "a", LODE_BF16, ROWS, COLS, as_bf16);
	finish(&a);
	finish(&renamed);
	finish(&bigger);
	finish(&smaller);
	finish(&cast);
	cr_expect_lt(trip(&a, &renamed), 400);
	cr_expect_lt(trip(&a, &smaller), 300);
	cr_expect_lt(trip(&a, &cast), 300, "%zu", trip(&a, &cast));
	cr_expect_lt(trip(&a, &bigger), 400);
	trip(&bigger, &a);
	free(a.image);
	free(renamed.image);
	free(bigger.image);
	free(smaller.image);
	free(cast.image);
	free(w1);
	free(w2);
	free(grown);
	free(as_bf16);
}

/* ---- bytes nobody can parse ---- */

Test(patch, plain_bytes_of_all_sizes)
{
	static const size_t sizes[] = {
		0, 1, 2, 7, 255, 4096, 65535, 262143, 262144, 262145, 700001};
	struct lode_rng rng;
	uint8_t *a = malloc(800000), *b = malloc(800000);
	lode_rng_seed(&rng, 9);
	for (size_t i = 0; i < 800000; i++)
		a[i] = b[i] = (uint8_t)lode_rng_below(&rng, i % 3 ? 256 : 5);
	for (size_t i = 0; i < LODE_ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < LODE_ARRAY_LEN(sizes); k++) {
			cr_assert_lt(round_trip(a, sizes[i], a, sizes[k], LODE_DELTA_MODE_FAST),
				sizes[k] + 250);
		}
	for (size_t i = 0; i < 800000; i += 20)
		b[i]++;
	size_t pattern = round_trip(a, 800000, b, 800000, LODE_DELTA_MODE_DEFAULT);
	cr_expect_lt(pattern, 1500, "%zu", pattern);
	memmove(b + 3, a, 800000 - 3);
	cr_expect_lt(round_trip(a, 800000, b, 800000, LODE_DELTA_MODE_DEFAULT), 1000);
	free(a);
	free(b);
}

Test(patch, a_first_install_needs_no_base)
{
	uint8_t *w = draw(LODE_DELTA_F32, N, 1);
	struct model b = {0};
	struct lode_delta_patch patch;
	struct memory_io m;
	struct lode_err err = {0};
	add(&b, "w", LODE_F32, ROWS, COLS, w);
	finish(&b);
	struct lode_delta_input out = {.data = b.image, .size = b.len};
	struct lode_delta_job job = {.target = &out, .n_target = 1};
	cr_assert_eq(lode_delta_diff(&job, &patch, NULL, &err), 0, "%s", err.msg);
	cr_assert_eq(memory_apply(&m, patch.data, patch.len, NULL, NULL, &err), 0, "%s", err.msg);
	cr_assert(!memcmp(m.target[0], b.image, b.len));
	cr_expect_lt((double)patch.len, 0.87 * (double)b.len);
	memory_clear(&m);
	free(patch.data);
	free(b.image);
	free(w);
}

Test(patch, several_files_refer_to_each_other)
{
	uint8_t *w1 = draw(LODE_DELTA_F32, N, 1), *w2 = draw(LODE_DELTA_F32, N, 2);
	struct model a = {0}, b = {0};
	struct lode_delta_patch patch;
	struct memory_io m;
	struct lode_err err = {0};
	add(&a, "w", LODE_F32, ROWS, COLS, w1);
	add(&b, "v", LODE_F32, ROWS, COLS, w2);
	finish(&a);
	finish(&b);
	struct lode_delta_input base[] = {
		{"a.safetensors", a.image, a.len}, {"b.safetensors", b.image, b.len}};
	struct lode_delta_input target[] = {{"b.safetensors", b.image, b.len},
		{"empty", (const uint8_t *)"", 0}, {"moved.safetensors", a.image, a.len}};
	struct lode_delta_job job = {.base = base, .target = target, .n_base = 2, .n_target = 3};
	cr_assert_eq(lode_delta_diff(&job, &patch, NULL, &err), 0, "%s", err.msg);
	cr_expect_lt(patch.len, 500);
	cr_assert_eq(memory_apply(&m, patch.data, patch.len, base, NULL, &err), 0, "%s", err.msg);
	cr_assert(!memcmp(m.target[0], b.image, b.len) && !memcmp(m.target[2], a.image, a.len));
	memory_clear(&m);
	free(patch.data);
	target[1].data = NULL;
	snprintf(target[1].name, sizeof(target[1].name), "../evil");
	cr_assert_eq(lode_delta_diff(&job, &patch, NULL, &err), -EINVAL);
	free(a.image);
	free(b.image);
	free(w1);
	free(w2);
}

/* ---- damage ---- */

static struct lode_delta_patch sample_patch(struct model *a, struct model *b)
{
	struct lode_delta_patch patch;
	uint8_t *from = draw(LODE_DELTA_F32, N, 3),
		*to = edit(EDIT_FINETUNE, LODE_DELTA_F32, from, N);
	memcpy(to, from, N); /* a copied quarter */
	*a = *b = (struct model){0};
	add(a, "w", LODE_F32, ROWS, COLS, from);
	add(b, "w", LODE_F32, ROWS, COLS, to);
	finish(a);
	finish(b);
	struct lode_delta_input in = {.data = a->image, .size = a->len};
	struct lode_delta_input out = {.data = b->image, .size = b->len};
	struct lode_delta_job job = {.base = &in,
		.target = &out,
		.n_base = 1,
		.n_target = 1,
		.mode = LODE_DELTA_MODE_FAST};
	cr_assert_eq(lode_delta_diff(&job, &patch, NULL, NULL), 0);
	free(from);
	free(to);
	return patch;
}

Test(patch, damage_is_refused_everywhere)
{
	struct model a, b;
	struct memory_io m;
	struct lode_delta_patch patch = sample_patch(&a, &b);
	struct lode_delta_input in = {.data = a.image, .size = a.len};
	size_t step = patch.len / 2000 + 1, n_passed = 0;
	for (size_t i = 0; i < patch.len; i += i < 300 ? 1 : step) {
		for (unsigned bit = 0; bit < 8; bit++) {
			patch.data[i] ^= (uint8_t)(1 << bit);
			/* a bit that changes nothing, say of a window's length, may pass */
			int rc = memory_apply(&m, patch.data, patch.len, &in, NULL, NULL);
			cr_assert(rc || !memcmp(m.target[0], b.image, b.len), "bit %u of byte %zu",
				bit, i);
			n_passed += !rc;
			memory_clear(&m);
			patch.data[i] ^= (uint8_t)(1 << bit);
		}
		cr_assert_neq(memory_apply(&m, patch.data, i, &in, NULL, NULL), 0);
		memory_clear(&m);
	}
	cr_assert_lt(n_passed, 50);
	free(patch.data);
	free(a.image);
	free(b.image);
}

Test(patch, another_base_is_refused_before_writing)
{
	struct model a, b;
	struct memory_io m;
	struct lode_err err;
	struct lode_delta_patch patch = sample_patch(&a, &b);
	struct lode_delta_input in = {.data = a.image, .size = a.len};
	a.image[a.len / 2] ^= 1;
	cr_assert_eq(memory_apply(&m, patch.data, patch.len, &in, NULL, &err), -ESTALE);
	cr_assert_eq(m.n_writes, 0);
	memory_clear(&m);
	free(patch.data);
	free(a.image);
	free(b.image);
}

Test(patch, unknown_features_are_refused_by_name)
{
	struct model a, b;
	struct lode_err err;
	struct lode_delta_patch patch = sample_patch(&a, &b);
	struct lode_delta_info *info = malloc(sizeof(*info));
	cr_assert_gt(lode_delta_parse_header(patch.data, patch.len, info, NULL), 0);
	for (size_t n = 0; n < info->header_bytes; n++)
		cr_assert_eq(lode_delta_parse_header(patch.data, n, info, NULL), 0);
	patch.data[15] |= 0x80;
	cr_assert_eq(lode_delta_parse_header(patch.data, patch.len, info, &err), -ENOTSUP);
	cr_assert(strstr(err.msg, "0x80"), "%s", err.msg);
	free(info);
	free(patch.data);
	free(a.image);
	free(b.image);
}

/* ---- against the plain decoder ---- */

static void expect_same_as_reference(
	const struct model *a, const struct model *b, enum lode_delta_mode mode)
{
	struct lode_delta_input in = {.data = a->image, .size = a->len};
	struct lode_delta_input out = {.data = b->image, .size = b->len};
	struct lode_delta_job job = {
		.base = &in, .target = &out, .n_base = 1, .n_target = 1, .mode = mode};
	struct lode_delta_patch patch;
	struct buf made = {0};
	cr_assert_eq(lode_delta_diff(&job, &patch, NULL, NULL), 0);
	uint8_t *padded = calloc(1, patch.len + READ_PAD);
	memcpy(padded, patch.data, patch.len);
	cr_assert_eq(plain_apply(padded, patch.len, a->image, a->len, &made), 0);
	cr_assert(made.len == b->len && !memcmp(made.data, b->image, b->len));
	buf_free(&made);
	free(padded);
	free(patch.data);
}

Test(patch, plain_decoder_agrees)
{
	for (unsigned t = 0; t < LODE_DELTA_N_TYPES; t++)
		for (unsigned e = 0; e < N_EDITS; e++) {
			uint8_t *from = draw(t, N, t + 1), *to = edit(e, t, from, N);
			struct model a = {0}, b = {0};
			add(&a, "w", dtypes[t], ROWS, COLS, from);
			add(&b, "w", dtypes[t], ROWS, COLS, to);
			finish(&a);
			finish(&b);
			expect_same_as_reference(&a, &b, LODE_DELTA_MODE_DEFAULT);
			expect_same_as_reference(&a, &b, LODE_DELTA_MODE_FAST);
			free(a.image);
			free(b.image);
			free(from);
			free(to);
		}
}

Test(patch, threads_change_nothing)
{
	size_t n = 5 * 1000 * 1000;
	uint8_t *from = draw(LODE_DELTA_F32, n, 3),
		*to = edit(EDIT_FINETUNE, LODE_DELTA_F32, from, n);
	struct lode_delta_input in = {.data = from, .size = 4 * n},
				out = {.data = to, .size = 4 * n};
	struct lode_delta_job job = {.base = &in,
		.target = &out,
		.n_base = 1,
		.n_target = 1,
		.mode = LODE_DELTA_MODE_FAST};
	struct lode_delta_patch one, four;
	struct lode_delta_report a, b;
	struct memory_io m;
	cr_assert_eq(lode_delta_diff(&job, &one, &a, NULL), 0);
	job.n_threads = 4;
	cr_assert_eq(lode_delta_diff(&job, &four, &b, NULL), 0);
	cr_assert(one.len == four.len && !memcmp(one.data, four.data, one.len));
	cr_assert_eq(a.costs[0].patch_bytes, b.costs[0].patch_bytes);
	cr_assert_eq(memory_apply(&m, four.data, four.len, &in, NULL, NULL), 0);
	cr_assert(!memcmp(m.target[0], to, 4 * n));
	memory_clear(&m);
	lode_delta_report_clear(&a);
	lode_delta_report_clear(&b);
	free(one.data);
	free(four.data);
	free(from);
	free(to);
}
