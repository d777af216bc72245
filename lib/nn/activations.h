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

/* 1 / x for 1 <= x < 2^126, relative error 7e-6: a straight line through the exponent as first guess,
 * two Newton steps. Sooner ready than a division, and sixteen lanes at once everywhere. */
INLINE v16f reciprocal(v16f x)
{
	v16f two = vf_set1(2);
	v16f y = vf_from_bits(vi_sub(vi_set1(0x7ef127ea), vf_bits(x)));
	y = vf_mul(y, vf_fnma(x, y, two));
	return vf_mul(y, vf_fnma(x, y, two));
}

INLINE v16f sigmoid(v16f x)
{
	v16f one = vf_set1(1);
	v16f z = vf_clamp_abs(vf_mul(x, vf_set1(-LOG2E)), vf_set1(120));
	return vf_div(one, vf_add(one, exp2_fine(z)));
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
