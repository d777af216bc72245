/* SPDX-License-Identifier: BSD-3-Clause */
/* Exponentials and what is made of them, on sixteen lanes. Included after one of the vec_*.h. */
#pragma once

#define LOG2E	    1.44269504f
#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: adding it leaves round(x) in the low bits */

/* 2^x for |x| <= 124: polynomials of the fraction, minimax in relative error on [-1/2, 1/2], by
 * Remez. */

/* Relative error 7.5e-5: for values that become bytes. */
INLINE v16f exp2_coarse(v16f x)
{
	v16f f = vf_fraction(x);
	v16f p = vf_fma(vf_set1(0.0551716691f), f, vf_set1(0.242611122f));
	p = vf_fma(p, f, vf_set1(0.693260985f));
	return vf_scale_exp2(vf_fma(p, f, vf_set1(0.999928074f)), x, f);
}

/* Relative error 1e-7. */
INLINE v16f exp2_fine(v16f x)
{
	v16f f = vf_fraction(x);
	v16f p = vf_fma(vf_set1(0.00132764722f), f, vf_set1(0.00967554133f));
	p = vf_fma(p, f, vf_set1(0.0555071327f));
	p = vf_fma(p, f, vf_set1(0.240221197f));
	p = vf_fma(p, f, vf_set1(0.693146967f));
	return vf_scale_exp2(vf_fma(p, f, vf_set1(1.00000007f)), x, f);
}

INLINE v16f sigmoid(v16f x)
{
	v16f one = vf_set1(1);
	v16f z = vf_clamp_abs(vf_mul(x, vf_set1(-LOG2E)), vf_set1(120));
	return vf_div(one, vf_add(one, exp2_fine(z)));
}

/* Coefficients of tanh's segments, through their Chebyshev points (the first one through 0 too). */
static const float tanh_table[4][16] __attribute__((aligned(64))) = {
	{0.0f, 0.554438166f, 0.848296887f, 0.954070052f, 0.986623975f, 0.99614954f, 0.998895325f,
		0.999683382f},
	{0.625035626f, 0.432800939f, 0.175273922f, 0.0561201612f, 0.0166180072f, 0.00480683006f,
		0.00138096487f, 0.000395964568f},
	{-0.00123604138f, -0.144824895f, -0.0933494166f, -0.0342589075f, -0.010557875f,
		-0.0030893155f, -0.000890478778f, -0.000255569706f},
	{-0.0762191016f, -0.00560890615f, 0.0259761961f, 0.0127548687f, 0.00422379816f,
		0.00126072705f, 0.000365452992f, 0.000105055085f},
};

/* tanh of u steps, absolute error 1.8e-4: for values that become bytes. */
INLINE v16f tanh_steps(v16f u)
{
	v16f inside = vf_min_abs(u, vf_set1(7.49f));
	v16i segment = vf_bits(vf_add(inside, vf_set1(ROUND_MAGIC)));
	v16f t = vf_fraction(inside), y = vf_lookup8(tanh_table[3], segment);
	y = vf_fma(y, t, vf_lookup8(tanh_table[2], segment));
	y = vf_fma(y, t, vf_lookup8(tanh_table[1], segment));
	return vf_with_sign(vf_fma(y, t, vf_lookup8(tanh_table[0], segment)), u);
}

/* Value of a GELU table at u, the place that SINK_GELU computes. */
INLINE v16f gelu(v16f u, const float *table)
{
	v16f inside = vf_min(vf_max(u, vf_set1(0)), vf_set1(15));
	v16f shifted = vf_add(inside, vf_set1(ROUND_MAGIC));
	v16i segment = vf_bits(shifted);
	v16f t = vf_sub(u, vf_sub(shifted, vf_set1(ROUND_MAGIC)));
	v16f y = vf_fma(vf_lookup(table + 32, segment), t, vf_lookup(table + 16, segment));
	return vf_fma(y, t, vf_lookup(table, segment));
}
