/* SPDX-License-Identifier: BSD-3-Clause */
/* Every coder gives back what it took: the input is type, shift and how the target differs from the
 * prediction, byte by byte. */
#include "coders.h"
#include "delta_fuzz.h"
#include "words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool decoded, const uint8_t *a, const uint8_t *b, size_t n)
{
	if (!decoded || memcmp(a, b, n))
		abort();
}

static void pad(struct buf *b)
{
	memset(buf_room(b, READ_PAD), 0, READ_PAD);
}

/* Bytes of the input change those of the base; runs of changes come from repeating it. */
static void make_target(const uint8_t *data, size_t size, struct element el, const uint8_t *pred,
	uint8_t *target, size_t n)
{
	unsigned w = type_bytes(el.type);
	for (size_t i = 0; i < n; i++) {
		uint64_t change = 0, mask = word_mask(8 * w);
		for (unsigned k = 0; k < w; k++)
			change |= (uint64_t)data[(i * w + k) % size] << (8 * k);
		uint64_t v = word_load(pred + i * w, w);
		v = data[i % size] & 1 ? v + (change & 0xff) : data[i % size] & 2 ? change : v;
		word_store(target + i * w, (v & mask) >> el.shift << el.shift, w);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t base[FUZZ_BASE_BYTES], target[FUZZ_BASE_BYTES], out[FUZZ_BASE_BYTES];
	struct stream_scratch s = {.dctx = ZSTD_createDCtx()};
	struct token_model model = {0};
	struct buf b = {0};
	if (size < 8) {
		ZSTD_freeDCtx(s.dctx);
		return 0;
	}
	struct element el = {.type = data[0] % LODE_DELTA_N_TYPES, .combine = data[1] % N_COMBINES};
	unsigned w = type_bytes(el.type);
	unsigned room = type_is_float(el.type) ? type_mantissa_bits(el.type) : 8 * w - 1;
	el.shift = w == 8 ? 0 : data[2] % (room + 1);
	size_t n = 1 + (data[3] | (size_t)data[4] << 8) % (FUZZ_BASE_BYTES / w);
	ZSTD_CCtx *cctx = ZSTD_createCCtx();
	s.slots = malloc(sizeof(uint32_t) << RANS_BYTE_LOG2);
	s.plane[0] = malloc(BLOCK_MAX);
	s.plane[1] = malloc(BLOCK_MAX);
	struct token_tables *tables = malloc(sizeof(*tables));
	struct adaptive_model *m = malloc(adaptive_model_bytes());
	fuzz_base(base);
	make_target(data + 5, size - 5, el, base, target, n);
	planes_encode(&el, base, target, n, cctx, data[1] >> 1 & 3, &b);
	pad(&b);
	check(planes_decode((struct view){b.data, b.data + b.len}, &el, base, out, n, &s), out,
		target, n * w);
	b.len = 0;
	sparse_encode(&el, base, target, n, cctx, data[1] >> 1 & 3, &b);
	pad(&b);
	if (b.len)
		check(sparse_decode((struct view){b.data, b.data + b.len}, &el, base, out, n, &s),
			out, target, n * w);
	el.combine = COMBINE_DIFF;
	if (w < 8) {
		b.len = 0;
		tokens_encode(&el, base, target, n, &model, &b);
		pad(&b);
		check(tokens_decode(
			      (struct view){b.data, b.data + b.len}, &el, base, out, n, tables),
			out, target, n * w);
		b.len = 0;
		adaptive_reset(m);
		adaptive_encode(&el, base, target, n, data[1] >> 3, m, &b);
		pad(&b);
		adaptive_reset(m);
		check(adaptive_decode((struct view){b.data, b.data + b.len}, &el, base, out, n, m),
			out, target, n * w);
	}
	buf_free(&b);
	free(s.slots);
	free(s.plane[0]);
	free(s.plane[1]);
	free(tables);
	free(m);
	ZSTD_freeDCtx(s.dctx);
	ZSTD_freeCCtx(cctx);
	return 0;
}
