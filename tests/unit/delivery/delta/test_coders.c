/* SPDX-License-Identifier: BSD-3-Clause */
#include "coders.h"
#include "crc32c.h"
#include "edits.h"
#include "predict.h"
#include "sha256_pair.h"
#include "words.h"

#include <criterion/criterion.h>
#include <math.h>
#include <openssl/evp.h>

static const size_t sizes[] = {1, 2, 3, 5, 64, 1000, 4095, 4096, 4097, 20001};

/* Exactly sized copies, so that a sanitizer sees a step outside. */
struct fixture {
	struct element el;
	size_t n;
	uint8_t *pred, *target, *out;
	ZSTD_CCtx *cctx;
	struct stream_scratch streams;
	struct token_tables *tables;
	struct adaptive_model *encoder, *decoder;
};

static void fixture_open(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->cctx = ZSTD_createCCtx();
	f->streams.dctx = ZSTD_createDCtx();
	f->streams.slots = malloc(sizeof(uint32_t) << RANS_BYTE_LOG2);
	f->streams.plane[0] = malloc(BLOCK_MAX);
	f->streams.plane[1] = malloc(BLOCK_MAX);
	f->tables = malloc(sizeof(*f->tables));
	f->encoder = malloc(adaptive_model_bytes());
	f->decoder = malloc(adaptive_model_bytes());
}

static void fixture_close(struct fixture *f)
{
	ZSTD_freeCCtx(f->cctx);
	ZSTD_freeDCtx(f->streams.dctx);
	free(f->streams.slots);
	free(f->streams.plane[0]);
	free(f->streams.plane[1]);
	free(f->tables);
	free(f->encoder);
	free(f->decoder);
}

static void pad(struct buf *b)
{
	cr_assert(buf_room(b, READ_PAD));
	memset(b->data + b->len, 0, READ_PAD);
}

static void expect_same(struct fixture *f, bool ok, const char *coder, unsigned edit)
{
	cr_assert(ok && !memcmp(f->out, f->target, f->n * type_bytes(f->el.type)),
		"%s of %zu x %s, edit %u, shift %u: %s", coder, f->n,
		lode_delta_type_name(f->el.type), edit, f->el.shift,
		ok ? "other bytes" : "refused");
}

static bool always(void)
{
	return true;
}

#ifdef __x86_64__
static bool has_bmi2(void)
{
	return __builtin_cpu_supports("bmi2");
}
#endif

/* Every machine's, which is the reference, and those of newer ones. */
static const struct token_coder {
	const char *name;
	bool (*is_there)(void);
	void (*encode)(const struct element *el, const uint8_t *pred, const uint8_t *target,
		size_t n, struct token_model *model, struct buf *out);
	bool (*decode)(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
		size_t n, struct token_tables *tables);
} token_coders[] = {
	{"tokens", always, tokens_encode_portable, tokens_decode_portable},
#ifdef __x86_64__
	{"tokens, BMI2", has_bmi2, tokens_encode_bmi2, tokens_decode_bmi2},
	{"tokens, AVX-512", tokens_has_avx512, tokens_encode_avx512, tokens_decode_avx512},
#endif
};

/* Twice, so that the tables of the first are used again. */
static void check_tokens(struct fixture *f, const struct token_coder *c, unsigned edit)
{
	struct token_model model = {0}, reference_model = {0};
	struct buf b = {0}, reference = {0};
	f->tables->valid = false;
	for (unsigned again = 0; again < 2; again++) {
		b.len = reference.len = 0;
		c->encode(&f->el, f->pred, f->target, f->n, &model, &b);
		tokens_encode_portable(
			&f->el, f->pred, f->target, f->n, &reference_model, &reference);
		cr_assert_eq(reference.len, b.len, "%s", c->name);
		cr_assert_arr_eq(reference.data, b.data, b.len);
		pad(&b);
		memset(f->out, 0xa5, f->n);
		expect_same(f,
			c->decode((struct view){b.data, b.data + b.len}, &f->el, f->pred, f->out,
				f->n, f->tables),
			c->name, edit);
	}
	buf_free(&b);
	buf_free(&reference);
}

static void check_coders(struct fixture *f, unsigned edit)
{
	struct buf b = {0};
	for (unsigned combine = 0; combine < N_COMBINES; combine++) {
		f->el.combine = combine;
		b.len = 0;
		planes_encode(&f->el, f->pred, f->target, f->n, f->cctx, 3, &b);
		pad(&b);
		expect_same(f,
			planes_decode((struct view){b.data, b.data + b.len}, &f->el, f->pred,
				f->out, f->n, &f->streams),
			"planes", edit);
		b.len = 0;
		sparse_encode(&f->el, f->pred, f->target, f->n, f->cctx, 3, &b);
		pad(&b);
		if (b.len)
			expect_same(f,
				sparse_decode((struct view){b.data, b.data + b.len}, &f->el,
					f->pred, f->out, f->n, &f->streams),
				"sparse", edit);
	}
	f->el.combine = COMBINE_DIFF;
	for (unsigned v = 0; v < LODE_ARRAY_LEN(token_coders) && type_bytes(f->el.type) < 8; v++)
		if (token_coders[v].is_there())
			check_tokens(f, &token_coders[v], edit);
	adaptive_reset(f->encoder);
	adaptive_reset(f->decoder);
	for (unsigned again = 0; again < 2 && type_bytes(f->el.type) < 8; again++) {
		b.len = 0;
		adaptive_encode(&f->el, f->pred, f->target, f->n, again ? 7 : 0, f->encoder, &b);
		pad(&b);
		expect_same(f,
			adaptive_decode((struct view){b.data, b.data + b.len}, &f->el, f->pred,
				f->out, f->n, f->decoder),
			"adaptive", edit);
	}
	cr_assert(!b.failed);
	buf_free(&b);
}

/* The target's low bits cleared, as for bfloat16 values kept in float32. */
static void clear_low_bits(struct fixture *f)
{
	unsigned w = type_bytes(f->el.type);
	for (size_t i = 0; i < f->n; i++) {
		uint64_t v = word_load(f->target + i * w, w);
		word_store(f->target + i * w, v >> f->el.shift << f->el.shift, w);
	}
}

Test(coders, give_back_every_type_size_and_edit)
{
	struct fixture f;
	struct lode_rng rng;
	fixture_open(&f);
	lode_rng_seed(&rng, 3);
	for (unsigned t = 0; t < LODE_DELTA_N_TYPES; t++)
		for (size_t k = 0; k < LODE_ARRAY_LEN(sizes); k++)
			for (unsigned edit = 0; edit < N_EDITS; edit++) {
				size_t bytes = sizes[k] * type_bytes(t);
				bool wide = type_bytes(t) == 8 || t == LODE_DELTA_U8;
				f.el = (struct element){.type = t};
				f.n = sizes[k];
				f.pred = malloc(bytes);
				f.target = malloc(bytes);
				f.out = malloc(bytes);
				draw_elements(&rng, t, f.pred, f.n);
				edit_elements(&rng, edit, t, f.pred, f.target, f.n, 7);
				check_coders(&f, edit);
				f.el.shift = wide ? 0 : (uint8_t)(1 + lode_rng_below(&rng, 7));
				clear_low_bits(&f);
				check_coders(&f, edit);
				free(f.pred);
				free(f.target);
				free(f.out);
			}
	fixture_close(&f);
}

/* Whatever the bytes are, all decoders say the same. */
Test(coders, damaged_tokens_are_one_to_all)
{
	struct fixture f;
	struct lode_rng rng;
	unsigned n_right = 0;
	fixture_open(&f);
	lode_rng_seed(&rng, 8);
	f.n = 4500;
	for (unsigned round = 0; round < 600; round++) {
		struct buf b = {0};
		struct token_model model = {0};
		uint8_t *reference = malloc(f.n * 4);
		f.el = (struct element){.type = round % 3   ? LODE_DELTA_F32
						: round % 2 ? LODE_DELTA_BF16
							    : LODE_DELTA_U8};
		size_t bytes = f.n * type_bytes(f.el.type);
		f.pred = malloc(bytes);
		f.target = malloc(bytes);
		f.out = malloc(bytes);
		draw_elements(&rng, f.el.type, f.pred, f.n);
		edit_elements(&rng, round % N_EDITS, f.el.type, f.pred, f.target, f.n, 9);
		tokens_encode_portable(&f.el, f.pred, f.target, f.n, &model, &b);
		pad(&b);
		for (unsigned k = 0; k < round % 4; k++)
			b.data[lode_rng_below(&rng, b.len)] ^=
				(uint8_t)(1 + lode_rng_below(&rng, 255));
		size_t len = round % 5 ? b.len : b.len - lode_rng_below(&rng, LODE_MIN(b.len, 64u));
		f.tables->valid = false;
		bool right = tokens_decode_portable((struct view){b.data, b.data + len}, &f.el,
			f.pred, reference, f.n, f.tables);
		n_right += right;
		for (unsigned v = 1; v < LODE_ARRAY_LEN(token_coders); v++) {
			if (!token_coders[v].is_there())
				continue;
			f.tables->valid = false;
			cr_assert_eq(right,
				token_coders[v].decode((struct view){b.data, b.data + len}, &f.el,
					f.pred, f.out, f.n, f.tables),
				"%s, round %u", token_coders[v].name, round);
			cr_assert(!right || !memcmp(reference, f.out, bytes));
		}
		free(reference);
		free(f.pred);
		free(f.target);
		free(f.out);
		buf_free(&b);
	}
	cr_assert(n_right > 100 && n_right < 500, "%u of 600", n_right);
	fixture_close(&f);
}

Test(coders, streams_take_the_smallest_form)
{
	struct fixture f;
	struct lode_rng rng;
	struct buf b = {0};
	uint8_t data[8192], out[8192];
	fixture_open(&f);
	lode_rng_seed(&rng, 1);
	for (unsigned kind = 0; kind < 4; kind++) {
		static const unsigned at_most[] = {4, 3600, 400, 8192 + 4};
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = (uint8_t)(kind == 0	? 7
					    : kind == 1 ? lode_rng_below(&rng, 11)
					    : kind == 2 ? i % 100
							: lode_rng_u64(&rng));
		b.len = 0;
		stream_encode(data, sizeof(data), f.cctx, 3, &b);
		cr_expect_leq(b.len, at_most[kind], "kind %u takes %zu", kind, b.len);
		pad(&b);
		struct view v = {b.data, b.data + b.len};
		cr_assert(stream_decode(&v, out, sizeof(out), &f.streams) && v.p == v.end);
		cr_assert(!memcmp(data, out, sizeof(data)));
	}
	buf_free(&b);
	fixture_close(&f);
}

Test(coders, frequency_tables_must_sum_up)
{
	struct freqs fr, back;
	uint32_t counts[256] = {[3] = 1, [9] = 100000, [255] = 7};
	struct buf b = {0};
	freqs_from_counts(&fr, counts, 256, 12);
	freqs_write(&fr, 256, &b);
	struct view v = {b.data, b.data + b.len};
	cr_assert(freqs_read(&back, 256, 12, &v) && v.p == v.end);
	cr_assert(!memcmp(&fr, &back, sizeof(fr)));
	v = (struct view){b.data, b.data + b.len};
	cr_assert_not(freqs_read(&back, 256, 11, &v));
	v = (struct view){b.data, b.data + b.len - 1};
	cr_assert_not(freqs_read(&back, 256, 12, &v));
	buf_free(&b);
}

Test(crc32c, known_value_and_both_versions)
{
	uint8_t data[1000];
	struct lode_rng rng;
	lode_rng_seed(&rng, 5);
	cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283);
	cr_assert_eq(crc32c_portable(0, "123456789", 9), 0xe3069283);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)lode_rng_u64(&rng);
	for (size_t n = 0; n <= sizeof(data); n++)
		cr_assert_eq(crc32c(crc32c(0, data, n), data + n, sizeof(data) - n),
			crc32c_portable(0, data, sizeof(data)));
}

Test(sha256_pair, is_what_openssl_says)
{
	static uint8_t data[1300];
	struct lode_rng rng;
	lode_rng_seed(&rng, 6);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)lode_rng_u64(&rng);
	for (unsigned n = 0; n < 700; n++) {
		struct lode_delta_input a = {.data = data + n % 9, .size = n};
		struct lode_delta_input b = {.data = data, .size = lode_rng_below(&rng, 1300)};
		const struct lode_delta_input *in[2] = {&a, n % 7 ? &b : NULL};
		uint8_t digest[2][32] = {0}, expected[32];
		cr_assert_eq(sha256_pair(in, (uint8_t *const[2]){digest[0], digest[1]}), 0);
		for (unsigned k = 0; k < 2 && in[k]; k++) {
			EVP_Digest(in[k]->data, in[k]->size, expected, NULL, EVP_sha256(), NULL);
			cr_assert_arr_eq(digest[k], expected, 32, "%u of %u bytes", k, n);
		}
	}
}

Test(predict, half_floats_convert_exactly)
{
	for (uint32_t h = 0; h < 65536; h++) {
		float f = f16_to_f32((uint16_t)h);
		if (!isnan(f))
			cr_assert_eq(f32_to_f16(f), h);
		else
			cr_assert(isnan(f16_to_f32(f32_to_f16(f))));
		float b = bf16_to_f32((uint16_t)h);
		if (!isnan(b))
			cr_assert_eq(f32_to_bf16(b), h);
	}
}

/* Round to nearest even: no neighbour is nearer, and of two equally near ones the even one is taken. */
Test(predict, half_floats_round_to_nearest_even)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, 2);
	for (unsigned i = 0; i < 200000; i++) {
		double x = ldexp(lode_rng_normal(&rng), -(int)lode_rng_below(&rng, 30));
		if (i % 4 == 0) /* half way between two */
			x = ldexp(2.0 * (double)lode_rng_below(&rng, 1024) + 1,
				-(int)lode_rng_below(&rng, 25));
		float f = (float)x;
		if (fabsf(f) > 65504)
			continue;
		uint16_t h = f32_to_f16(f);
		double d = fabs((double)f16_to_f32(h) - f);
		double down = fabs((double)f16_to_f32((uint16_t)(h - 1)) - f);
		double up = fabs((double)f16_to_f32((uint16_t)(h + 1)) - f);
		if ((h & 0x7fff) != 0)
			cr_assert(d < down || (d == down && !(h & 1)), "%a", f);
		if ((h & 0x7fff) != 0x7bff)
			cr_assert(d < up || (d == up && !(h & 1)), "%a", f);
	}
}
