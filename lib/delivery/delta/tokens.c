/* SPDX-License-Identifier: BSD-3-Clause */
#include "coders.h"

void tokens_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	struct token_model *model, struct buf *out)
{
#ifdef __x86_64__
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
	if (__builtin_cpu_supports("bmi2"))
		return tokens_decode_bmi2(in, el, pred, out, n, tables);
#endif
	return tokens_decode_portable(in, el, pred, out, n, tables);
}
