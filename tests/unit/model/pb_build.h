/* SPDX-License-Identifier: BSD-3-Clause */
/* A small protobuf writer for tests: messages grow in a fixed buffer, a message is put into its parent
 * when it is complete. */
#pragma once

#include "lode_base.h"

#include <stdlib.h>

struct pbw {
	size_t n;
	uint8_t buf[1 << 18];
};

static inline struct pbw *pbw_new(void)
{
	return calloc(1, sizeof(struct pbw));
}

static inline void pbw_bytes(struct pbw *w, const void *data, size_t n)
{
	assert(w->n + n <= sizeof(w->buf));
	if (n)
		memcpy(w->buf + w->n, data, n);
	w->n += n;
}

static inline void pbw_varint(struct pbw *w, uint64_t v)
{
	do {
		uint8_t b = (v & 0x7f) | (v > 0x7f ? 0x80 : 0);
		pbw_bytes(w, &b, 1);
		v >>= 7;
	} while (v);
}

/* A varint field. */
static inline void pbw_u64(struct pbw *w, uint32_t field, uint64_t v)
{
	pbw_varint(w, (uint64_t)field << 3);
	pbw_varint(w, v);
}

static inline void pbw_f32(struct pbw *w, uint32_t field, float v)
{
	pbw_varint(w, (uint64_t)field << 3 | 5);
	pbw_bytes(w, &v, 4);
}

static inline void pbw_len(struct pbw *w, uint32_t field, const void *data, size_t n)
{
	pbw_varint(w, (uint64_t)field << 3 | 2);
	pbw_varint(w, n);
	pbw_bytes(w, data, n);
}

static inline void pbw_text(struct pbw *w, uint32_t field, const char *text)
{
	pbw_len(w, field, text, strlen(text));
}

/* Puts a finished message into its parent and frees it. */
static inline void pbw_put(struct pbw *w, uint32_t field, struct pbw *message)
{
	pbw_len(w, field, message->buf, message->n);
	free(message);
}
