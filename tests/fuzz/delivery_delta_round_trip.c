/* SPDX-License-Identifier: BSD-3-Clause */
/* A base and edits of it: the patch must make exactly the target. Input: size of a safetensors header to put
 * before the base, then edits (place, kind, amount). */
#include "delta_fuzz.h"
#include "plain_decoder.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM (FUZZ_BASE_BYTES + 1024)

struct text {
	uint8_t data[ROOM];
	size_t len;
};

/* A file with tensors of a fuzzed type over the base's bytes, or the bare bytes. */
static void make_base(struct text *t, unsigned kind)
{
	static const char *const types[] = {"F32", "BF16", "F16", "I8", "I64", "U16"};
	char json[256];
	uint8_t base[FUZZ_BASE_BYTES];
	fuzz_base(base);
	t->len = 0;
	if (kind % 7 < LODE_ARRAY_LEN(types)) {
		static const unsigned widths[] = {4, 2, 2, 1, 8, 2};
		unsigned w = widths[kind % 7];
		int n = snprintf(json, sizeof(json),
			"{\"a\":{\"dtype\":\"%s\",\"shape\":[%u,2],\"data_offsets\":[0,2400]},"
			"\"b\":{\"dtype\":\"%s\",\"shape\":[%u,2],\"data_offsets\":[2400,6000]}}",
			types[kind % 7], 1200 / w, types[kind % 7], 1800 / w);
		uint64_t len = (uint64_t)n;
		memcpy(t->data, &len, 8);
		memcpy(t->data + 8, json, len);
		t->len = 8 + len;
	}
	memcpy(t->data + t->len, base, sizeof(base));
	t->len += sizeof(base);
}

/* 6 bytes each: place, kind, length, value. */
static void edit(struct text *t, const uint8_t *e)
{
	size_t at = (e[0] | (size_t)e[1] << 8) % (t->len + 1),
	       n = 1 + (e[3] | (size_t)e[4] << 8) % 1024;
	n = LODE_MIN(n, t->len - at);
	switch (e[2] % 6) {
	case 0:
		for (size_t i = 0; i < n; i++)
			t->data[at + i] += e[5];
		break;
	case 1:
		memset(t->data + at, e[5], n);
		break;
	case 2: /* remove */
		memmove(t->data + at, t->data + at + n, t->len - at - n);
		t->len -= n;
		break;
	case 3: /* repeat */
		n = LODE_MIN(n, ROOM - t->len);
		memmove(t->data + at + n, t->data + at, t->len - at);
		t->len += n;
		break;
	case 4: /* low bytes of words */
		for (size_t i = 0; i < n; i += 4)
			t->data[at + i] += (uint8_t)(e[5] * (i + 1));
		break;
	default: /* exchange halves */
		for (size_t i = 0; i < n / 2; i++) {
			uint8_t b = t->data[at + i];
			t->data[at + i] = t->data[at + n / 2 + i];
			t->data[at + n / 2 + i] = b;
		}
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text *base = malloc(sizeof(*base)), *target = malloc(sizeof(*target));
	struct lode_delta_patch patch;
	struct buf made = {0};
	if (size < 2 || size > 200) {
		free(base);
		free(target);
		return 0;
	}
	make_base(base, data[0]);
	*target = *base;
	for (size_t i = 2; i + 6 <= size; i += 6)
		edit(target, data + i);
	struct lode_delta_input in = {.data = base->data, .size = base->len};
	struct lode_delta_input out = {.data = target->data, .size = target->len};
	struct lode_delta_job job = {
		.base = &in, .target = &out, .n_base = 1, .n_target = 1, .mode = data[1] % 3};
	if (lode_delta_diff(&job, &patch, NULL, NULL))
		abort();
	patch.data = realloc(patch.data, patch.len + READ_PAD);
	memset(patch.data + patch.len, 0, READ_PAD);
	if (plain_apply(patch.data, patch.len, base->data, base->len, &made) ||
		made.len != target->len || (made.len && memcmp(made.data, target->data, made.len)))
		abort();
	if (patch.len > target->len + 400)
		abort();
	buf_free(&made);
	free(patch.data);
	free(base);
	free(target);
	return 0;
}
