/* SPDX-License-Identifier: BSD-3-Clause */
/* Residuals split into byte planes (ZipNN, arXiv 2411.05239), and the list of changed elements. */
#include "coders.h"
#include "words.h"

/* ---- planes: one stream per byte of the element, least significant first ---- */

static inline __attribute__((always_inline)) void split_plane(const struct element *element,
	const uint8_t *pred, const uint8_t *target, size_t n, unsigned plane, uint8_t *out,
	unsigned w)
{
	const struct element el = *element;
	unsigned bits = 8 * w - el.shift;
	bool is_float = type_is_float(el.type);
	for (size_t i = 0; i < n; i++) {
		uint64_t t = word_load(target + i * w, w) >> el.shift;
		uint64_t p = word_load(pred + i * w, w) >> el.shift;
		out[i] = (uint8_t)(word_residual(t, p, bits, is_float, el.combine) >> (8 * plane));
	}
}

static unsigned n_planes(const struct element *el)
{
	return (8 * type_bytes(el->type) - el->shift + 7u) / 8;
}

void planes_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	ZSTD_CCtx *cctx, int effort, struct buf *out)
{
	uint8_t *plane = malloc(n ? n : 1);
	if (!plane) {
		out->failed = true;
		return;
	}
	const struct element bytes = {LODE_DELTA_U8, COMBINE_DIFF, 0};
	for (unsigned k = 0; k < n_planes(el); k++) {
		switch (type_bytes(el->type)) {
		case 1:
			if (el->combine == COMBINE_DIFF && !el->shift)
				split_plane(&bytes, pred, target, n, k, plane, 1);
			else
				split_plane(el, pred, target, n, k, plane, 1);
			break;
		case 2:
			split_plane(el, pred, target, n, k, plane, 2);
			break;
		case 4:
			split_plane(el, pred, target, n, k, plane, 4);
			break;
		default:
			split_plane(el, pred, target, n, k, plane, 8);
			break;
		}
		stream_encode(plane, n, cctx, effort, out);
	}
	free(plane);
}

static inline __attribute__((always_inline)) void join_words(
	const struct element *element, const uint8_t *pred, uint8_t *out, size_t n, unsigned w)
{
	const struct element el = *element;
	unsigned bits = 8 * w - el.shift;
	bool is_float = type_is_float(el.type);
	for (size_t i = 0; i < n; i++) {
		uint64_t z = word_load(out + i * w, w) & word_mask(bits);
		uint64_t p = word_load(pred + i * w, w) >> el.shift;
		uint64_t t = word_restore(z, p, bits, is_float, el.combine);
		word_store(out + i * w, t << el.shift, w);
	}
}

/* Puts a plane's bytes into their place in each element of out. */
static void spread_plane(uint8_t *out, const uint8_t *plane, size_t n, unsigned w, unsigned k)
{
	for (size_t i = 0; i < n; i++)
		out[i * w + k] = plane[i];
}

static void restore_words(const struct element *el, const uint8_t *pred, uint8_t *out, size_t n)
{
	const struct element bytes = {LODE_DELTA_U8, COMBINE_DIFF, 0};
	switch (type_bytes(el->type)) {
	case 1:
		if (el->combine == COMBINE_DIFF && !el->shift)
			join_words(&bytes, pred, out, n, 1);
		else
			join_words(el, pred, out, n, 1);
		break;
	case 2:
		join_words(el, pred, out, n, 2);
		break;
	case 4:
		join_words(el, pred, out, n, 4);
		break;
	default:
		join_words(el, pred, out, n, 8);
		break;
	}
}

bool planes_decode(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, const struct stream_scratch *s)
{
	unsigned w = type_bytes(el->type);
	if (n_planes(el) < w)
		memset(out, 0, n * w);
	for (unsigned k = 0; k < n_planes(el); k++) {
		if (!stream_decode(&in, s->plane[0], n, s))
			return false;
		spread_plane(out, s->plane[0], n, w, k);
	}
	restore_words(el, pred, out, n);
	return in.p == in.end;
}

/* ---- sparse: gaps as LEB128 bytes, then the planes of the changed residuals ----
 * Payload: number of changed elements, bytes of the gap stream, gap stream, one stream per plane. */

static size_t put_gap(uint8_t *to, size_t gap)
{
	size_t n = 0;
	for (; gap >= 0x80; gap >>= 7)
		to[n++] = (uint8_t)(gap | 0x80);
	to[n++] = (uint8_t)gap;
	return n;
}

/* Collects gaps and the changed elements; returns how many, or SIZE_MAX when they are many. */
static size_t collect_changes(unsigned w, const uint8_t *pred, const uint8_t *target, size_t n,
	uint8_t *gaps, size_t *gap_bytes, uint8_t *preds, uint8_t *targets)
{
	size_t n_changed = 0, last = 0;
	*gap_bytes = 0;
	for (size_t i = 0; i < n; i++) {
		if (word_load(pred + i * w, w) == word_load(target + i * w, w))
			continue;
		if (n_changed >= n / 4)
			return SIZE_MAX;
		*gap_bytes += put_gap(gaps + *gap_bytes, i - last);
		memcpy(preds + n_changed * w, pred + i * w, w);
		memcpy(targets + n_changed * w, target + i * w, w);
		last = i + 1;
		n_changed++;
	}
	return n_changed;
}

void sparse_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	ZSTD_CCtx *cctx, int effort, struct buf *out)
{
	unsigned w = type_bytes(el->type);
	size_t room = (n / 4 + 1) * w, gap_bytes;
	uint8_t *gaps = malloc(2 * room + 4 * n + 16);
	if (!gaps) {
		out->failed = true;
		return;
	}
	uint8_t *preds = gaps + 4 * n + 16, *targets = preds + room;
	size_t n_changed = collect_changes(w, pred, target, n, gaps, &gap_bytes, preds, targets);
	if (n_changed != SIZE_MAX && n_changed) {
		put_varint(out, n_changed);
		put_varint(out, gap_bytes);
		stream_encode(gaps, gap_bytes, cctx, effort, out);
		planes_encode(el, preds, targets, n_changed, cctx, effort, out);
	}
	free(gaps);
}

/* Moves *i over the next gap. */
static bool next_change(struct view *gaps, size_t *i, size_t n)
{
	size_t gap;
	if (!get_size(gaps, n, &gap) || gap >= n - *i)
		return false;
	*i += gap;
	return true;
}

bool sparse_decode(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, const struct stream_scratch *s)
{
	unsigned w = type_bytes(el->type);
	size_t n_changed, gap_bytes, i;
	if (!get_size(&in, n / 4 + 1, &n_changed) || !get_size(&in, BLOCK_MAX, &gap_bytes) ||
		!n_changed || !gap_bytes || !stream_decode(&in, s->plane[1], gap_bytes, s))
		return false;
	/* Against nothing the planes give the residuals themselves; out lends the room. */
	const struct element alone = {el->type, COMBINE_XOR, el->shift};
	uint8_t *nothing = out + n_changed * w;
	if (2 * n_changed > n)
		return false;
	memset(nothing, 0, n_changed * w);
	if (!planes_decode(in, &alone, nothing, out, n_changed, s))
		return false;
	uint8_t *changed = s->plane[0];
	memcpy(changed, out, n_changed * w);
	memcpy(out, pred, n * w);
	struct view gaps = {s->plane[1], s->plane[1] + gap_bytes};
	i = 0;
	for (size_t k = 0; k < n_changed; k++, i++) {
		if (i >= n || !next_change(&gaps, &i, n))
			return false;
		uint64_t z = word_load(changed + k * w, w) >> el->shift;
		uint64_t p = word_load(pred + i * w, w) >> el->shift;
		uint64_t t =
			word_restore(z, p, 8 * w - el->shift, type_is_float(el->type), el->combine);
		word_store(out + i * w, t << el->shift, w);
	}
	return gaps.p == gaps.end;
}
