/* SPDX-License-Identifier: BSD-3-Clause */
/* Multi-head attention in integers. Scores are sums of byte products; softmax weights become bytes
 * (the largest is 255), and so does their total's share of each value. All sums are exact, so the
 * order of the keys does not matter and one query gives the same bits as twenty.
 *
 *   keys    [dims / 4][slots][4] u8   slots: steps padded to 16. An offset of the keys' bytes is the
 *                                     same for all keys of a query, so softmax does not see it
 *   values  [steps / 4][dims][4] s8   four steps of a dimension side by side */
#pragma once

#include "run_linear.h"

#define LOG2_255 7.99435344f

/* Added to the scores of slots that hold no step. */
static const int32_t past_end[2 * LODE_NN_MAX_STEPS] __attribute__((aligned(64))) = {
	[LODE_NN_MAX_STEPS... 2 * LODE_NN_MAX_STEPS - 1] = -(1 << 29),
};

/* 0 for the slots of vector vec that are below n_steps. */
INLINE v16i slot_mask(unsigned n_steps, unsigned vec)
{
	return vi_load(past_end + LODE_NN_MAX_STEPS - n_steps + 16 * vec);
}

struct attention {
	unsigned n_steps, n_groups; /* n_groups: steps / 4, rounded up */
	unsigned n_heads, head_dims, head_vecs;
	float score_mul;
	struct quantiser out;
};

/* Weights of one head's slots as bytes into p; returns their total. */
INLINE int32_t attention_weights(const struct attention *a, const uint8_t *keys, const int8_t *q,
	uint8_t *p, const unsigned n_vecs)
{
	v16i score[4];
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++)
		score[v] = slot_mask(a->n_steps, v);
	for (unsigned d = 0; d < a->head_dims; d += 4) {
		v16i query = vi_load_dup(q + d);
		UNROLL
		for (unsigned v = 0; v < n_vecs; v++)
			score[v] =
				vi_dot4(score[v], vi_load(keys + 16 * n_vecs * d + 64 * v), query);
	}
	v16i highest = score[0], total = vi_set1(0);
	UNROLL
	for (unsigned v = 1; v < n_vecs; v++)
		highest = vi_max(highest, score[v]);
	highest = vi_set1(vi_highest(highest));
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++) {
		v16f below = vf_from_int(vi_sub(score[v], highest));
		v16f e = vf_fma(below, vf_set1(a->score_mul), vf_set1(LOG2_255));
		v16i weight = vf_round(exp2_coarse(vf_max(e, vf_set1(-100))));
		vi_store_u8(p + 16 * v, weight);
		total = vi_add(total, weight);
	}
	return vi_sum(total);
}

INLINE void attend_heads(const struct attention *a, const uint8_t *keys, const int8_t *values,
	const int8_t *q, uint8_t *out, const unsigned n_vecs)
{
	uint8_t p[LODE_NN_MAX_STEPS];
	unsigned dims = 16 * a->n_heads * a->head_vecs;
	for (unsigned head = 0; head < dims; head += 16 * a->head_vecs) {
		int32_t total =
			attention_weights(a, keys + 16 * n_vecs * head, q + head, p, n_vecs);
		v16f mul = vf_set1(a->out.mul / (float)total);
		for (unsigned d = head; d < head + 16 * a->head_vecs; d += 16) {
			v16i sum = vi_set1(0);
			for (unsigned g = 0; g < a->n_groups; g++)
				sum = vi_dot4(sum, vi_load_dup(p + 4 * g),
					vi_load(values + 4 * (g * dims + d)));
			v16f y = vf_fma(vf_from_int(sum), mul, vf_set1(a->out.add));
			vi_store_u8(out + d, vf_round(y));
		}
	}
}

/* One query (signed bytes) against all keys; out: unsigned bytes. */
SHARED void attend(const struct attention *a, const uint8_t *keys, const int8_t *values,
	const int8_t *q, uint8_t *out)
{
	switch (ALIGN_UP(a->n_steps, 16u) / 16) {
	case 1:
		attend_heads(a, keys, values, q, out, 1);
		break;
	case 2:
		attend_heads(a, keys, values, q, out, 2);
		break;
	case 3:
		attend_heads(a, keys, values, q, out, 3);
		break;
	default:
		attend_heads(a, keys, values, q, out, 4);
		break;
	}
}

/* Key row of one step into its slot. */
INLINE void put_key(
	const uint8_t *row, unsigned dims, unsigned slot, unsigned n_slots, uint8_t *keys)
{
	for (unsigned d = 0; d < dims; d += 4)
		memcpy(keys + (size_t)d * n_slots + 4 * slot, row + d, 4);
}

/* Value row (unsigned bytes, 128 for 0) of one step into its slot. */
INLINE void put_value(const uint8_t *row, unsigned dims, unsigned slot, int8_t *values)
{
	int8_t *to = values + (size_t)(slot / 4) * dims * 4 + slot % 4;
	for (unsigned d = 0; d < dims; d++)
		to[4 * d] = (int8_t)(row[d] ^ 0x80);
}

/* Values of four steps at once, straight from the sums of the value layer. */
INLINE void value_tile(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, size_t in_stride, unsigned vec, const unsigned n_vecs, int8_t *to)
{
	v16i sum[16];
	unsigned w_stride;
	const int8_t *w = panel(m, l, vec, &w_stride);
	dot_tile(sum, in, in_stride, w, w_stride, l->k_groups, n_vecs, 1);
	for (unsigned v = 0; v < n_vecs; v++) {
		v16i all = vi_set1((int32_t)0x80808080);
		UNROLL
		for (unsigned r = 0; r < 4; r++) {
			v16i byte = sunk(sum[r * n_vecs + v], m, l, vec + v, SINK_U8);
			byte = vi_min(vi_max(byte, vi_set1(0)), vi_set1(255));
			byte = r == 0	? byte
			       : r == 1 ? vi_shift_left(byte, 8)
			       : r == 2 ? vi_shift_left(byte, 16)
					: vi_shift_left(byte, 24);
			all = vi_xor(all, byte);
		}
		vi_store(to + 64 * (vec + v), all);
	}
}

/* in: n_steps rows rounded up to 4. */
SHARED void put_values(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, size_t in_stride, unsigned n_steps, int8_t *values)
{
	for (unsigned s = 0; s < n_steps; s += 4) {
		int8_t *to = values + (size_t)s * 16 * l->n_vecs;
		unsigned vec = 0;
		for (; vec + 4 <= l->n_vecs; vec += 4)
			value_tile(m, l, in + s * in_stride, in_stride, vec, 4, to);
		for (; vec < l->n_vecs; vec++)
			value_tile(m, l, in + s * in_stride, in_stride, vec, 1, to);
	}
}
