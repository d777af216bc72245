/* SPDX-License-Identifier: BSD-3-Clause */
#include "coders.h"

bool tokens_has_avx512(void)
{
#ifdef __x86_64__
	return __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
#else
	return false;
#endif
}

void tokens_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	struct token_model *model, struct buf *out)
{
#ifdef __x86_64__
	if (tokens_has_avx512()) {
		tokens_encode_avx512(el, pred, target, n, model, out);
		return;
	}
	if (__builtin_cpu_supports("bmi2")) {
		tokens_encode_bmi2(el, pred, target, n, model, out);
		return;
	}
#endif
	tokens_encode_portable(el, pred, target, n, model, out);
}

bool tokens_decode(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, struct token_tables *tables)
{
#ifdef __x86_64__
	if (tokens_has_avx512())
		return tokens_decode_avx512(in, el, pred, out, n, tables);
	if (__builtin_cpu_supports("bmi2"))
		return tokens_decode_bmi2(in, el, pred, out, n, tables);
#endif
	return tokens_decode_portable(in, el, pred, out, n, tables);
}
