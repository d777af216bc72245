/* SPDX-License-Identifier: BSD-3-Clause */
/* zstd frames, and byte streams coded by whatever is smallest. */
#include "bits.h"
#include "coders.h"

#include <zstd_errors.h>

#define ZSTD_SAMPLE_BYTES (16 * 1024)

bool zstd_encode(ZSTD_CCtx *cctx, int level, const uint8_t *prefix, size_t prefix_len,
	const uint8_t *data, size_t n, struct buf *out)
{
	uint8_t *room = buf_room(out, ZSTD_compressBound(n));
	if (!room)
		return false;
	ZSTD_CCtx_reset(cctx, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(cctx, ZSTD_c_contentSizeFlag, 0);
	if (prefix_len) {
		/* the prefix counts against the window; a larger one than needed costs time */
		int window_log = (int)bit_length((uint32_t)(prefix_len + n));
		ZSTD_CCtx_setParameter(cctx, ZSTD_c_windowLog, LODE_MAX(window_log, 10));
		ZSTD_CCtx_refPrefix(cctx, prefix, prefix_len);
	}
	size_t len = ZSTD_compress2(cctx, room, ZSTD_compressBound(n), data, n);
	if (ZSTD_isError(len)) {
		out->failed = true;
		return false;
	}
	out->len += len;
	return true;
}

bool zstd_decode(ZSTD_DCtx *dctx, struct view in, const uint8_t *prefix, size_t prefix_len,
	uint8_t *data, size_t n)
{
	if (ZSTD_findFrameCompressedSize(in.p, view_left(&in)) != view_left(&in) ||
		ZSTD_getDictID_fromFrame(in.p, view_left(&in)))
		return false;
	ZSTD_DCtx_reset(dctx, ZSTD_reset_session_and_parameters);
	if (prefix_len && ZSTD_isError(ZSTD_DCtx_refPrefix(dctx, prefix, prefix_len)))
		return false;
	return ZSTD_decompressDCtx(dctx, data, n, in.p, view_left(&in)) == n;
}

static void put_stream(struct buf *out, enum stream_method method, const uint8_t *data, size_t n)
{
	put_u8(out, (uint8_t)method);
	put_varint(out, n);
	put_bytes(out, data, n);
}

/* Whether zstd comes near best bytes: streams of many bytes are judged by a sample from their middle. */
static bool zstd_promises(const uint8_t *data, size_t n, ZSTD_CCtx *cctx, int effort, size_t best,
	struct buf *scratch)
{
	if (n <= 4 * ZSTD_SAMPLE_BYTES)
		return true;
	const uint8_t *sample = data + (n - ZSTD_SAMPLE_BYTES) / 2;
	if (!zstd_encode(cctx, effort, NULL, 0, sample, ZSTD_SAMPLE_BYTES, scratch))
		return false;
	size_t len = scratch->len;
	scratch->len = 0;
	return len < best * ZSTD_SAMPLE_BYTES / n * 17 / 16;
}

/* Leaves coded empty unless zstd is smaller than best bytes. */
static void try_zstd(
	const uint8_t *data, size_t n, ZSTD_CCtx *cctx, int effort, size_t best, struct buf *coded)
{
	if (!zstd_promises(data, n, cctx, effort, best, coded))
		return;
	if (!zstd_encode(cctx, effort, NULL, 0, data, n, coded) || coded->len >= best)
		coded->len = 0;
}

void stream_encode(const uint8_t *data, size_t n, ZSTD_CCtx *cctx, int effort, struct buf *out)
{
	uint32_t counts[256] = {0};
	struct buf coded = {0};
	unsigned n_values = 0;
	for (size_t i = 0; i < n; i++)
		counts[data[i]]++;
	for (unsigned s = 0; s < 256; s++)
		n_values += counts[s] > 0;
	if (n_values == 1) {
		put_stream(out, STREAM_FILL, data, 1);
		return;
	}
	size_t rans = n_values ? rans_bytes_size(counts, n) : SIZE_MAX;
	size_t best = LODE_MIN(n, rans);
	/* Nearly flat bytes hold no matches worth a search. */
	if (effort && n > 32 && best < n - n / 64)
		try_zstd(data, n, cctx, effort, best, &coded);
	if (coded.len) {
		put_stream(out, STREAM_ZSTD, coded.data, coded.len);
	} else if (rans < n) {
		rans_bytes_encode(data, n, &coded);
		put_stream(out, STREAM_RANS, coded.data, coded.len);
	} else {
		put_stream(out, STREAM_RAW, data, n);
	}
	out->failed |= coded.failed;
	buf_free(&coded);
}

bool stream_decode(struct view *in, uint8_t *data, size_t n, const struct stream_scratch *s)
{
	uint8_t method;
	size_t len;
	struct view coded;
	if (!get_u8(in, &method) || !get_size(in, view_left(in), &len) ||
		!get_view(in, len, &coded))
		return false;
	switch (method) {
	case STREAM_RAW:
		if (len != n)
			return false;
		memcpy(data, coded.p, n);
		return true;
	case STREAM_FILL:
		if (len != 1)
			return false;
		memset(data, *coded.p, n);
		return true;
	case STREAM_ZSTD:
		return zstd_decode(s->dctx, coded, NULL, 0, data, n);
	case STREAM_RANS:
		return rans_bytes_decode(coded, data, n, s->slots);
	}
	return false;
}
