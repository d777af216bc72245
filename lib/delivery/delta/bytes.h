/* SPDX-License-Identifier: BSD-3-Clause */
/* Bounded reading and growing writing of the patch's bytes. */
#pragma once

#include "lode_base.h"

#include <stdlib.h>

/* What is left to read. Every get_* returns false and leaves the view alone when it is too short. */
struct view {
	const uint8_t *p, *end;
};

static inline size_t view_left(const struct view *v)
{
	return (size_t)(v->end - v->p);
}

static inline bool get_u8(struct view *v, uint8_t *out)
{
	if (v->p == v->end)
		return false;
	*out = *v->p++;
	return true;
}

static inline bool get_le32(struct view *v, uint32_t *out)
{
	if (view_left(v) < 4)
		return false;
	*out = lode_load_le32(v->p);
	v->p += 4;
	return true;
}

/* LEB128, shortest form only, so that a value has one encoding. */
static inline bool get_varint(struct view *v, uint64_t *out)
{
	uint64_t value = 0;
	const uint8_t *p = v->p;
	for (unsigned shift = 0; shift < 64 && p < v->end; shift += 7) {
		uint8_t b = *p++;
		if (shift == 63 && b > 1)
			return false;
		value |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80) {
			if (!b && shift)
				return false;
			v->p = p;
			*out = value;
			return true;
		}
	}
	return false;
}

/* A varint at most max. */
static inline bool get_size(struct view *v, uint64_t max, size_t *out)
{
	uint64_t value;
	struct view was = *v;
	if (!get_varint(v, &value) || value > max) {
		*v = was;
		return false;
	}
	*out = (size_t)value;
	return true;
}

static inline bool get_view(struct view *v, size_t len, struct view *out)
{
	if (view_left(v) < len)
		return false;
	*out = (struct view){v->p, v->p + len};
	v->p += len;
	return true;
}

static inline uint64_t zigzag64(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag64(uint64_t z)
{
	return (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
}

/* Grows as needed; failed stays set once memory ran out and the content is useless then. */
struct buf {
	uint8_t *data;
	size_t len, cap;
	bool failed;
};

/* Room for n more bytes at data + len, or NULL. */
static inline uint8_t *buf_room(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (b->cap - b->len < n) {
		size_t cap = LODE_MAX(b->cap * 2, b->len + n + 256);
		uint8_t *data = (uint8_t *)realloc(b->data, cap);
		if (!data) {
			b->failed = true;
			return NULL;
		}
		b->data = data;
		b->cap = cap;
	}
	return b->data + b->len;
}

static inline void put_bytes(struct buf *b, const void *data, size_t n)
{
	uint8_t *room = n ? buf_room(b, n) : NULL;
	if (!room)
		return;
	memcpy(room, data, n);
	b->len += n;
}

static inline void put_u8(struct buf *b, uint8_t v)
{
	put_bytes(b, &v, 1);
}

static inline void put_le32(struct buf *b, uint32_t v)
{
	put_bytes(b, &v, 4);
}

static inline void put_varint(struct buf *b, uint64_t v)
{
	uint8_t tmp[10];
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		tmp[n++] = (uint8_t)(v | 0x80);
	tmp[n++] = (uint8_t)v;
	put_bytes(b, tmp, n);
}

static inline size_t varint_size(uint64_t v)
{
	size_t n = 1;
	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

static inline void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}
