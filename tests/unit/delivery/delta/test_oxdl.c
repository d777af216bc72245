/* SPDX-License-Identifier: BSD-3-Clause */
#include "bytes.h"
#include "memory_io.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <zstd.h>

/* ---- small ONNX files ---- */

static void put_field(struct buf *b, uint32_t number, const void *data, size_t n)
{
	put_varint(b, (uint64_t)number << 3 | 2);
	put_varint(b, n);
	put_bytes(b, data, n);
}

/* An initializer: name and payload in raw_data (9), float_data (4) or another field. */
static void put_initializer(
	struct buf *graph, const char *name, uint32_t field, const float *data, size_t n)
{
	struct buf t = {0};
	put_varint(&t, 1 << 3);
	put_varint(&t, n);
	put_varint(&t, 2 << 3);
	put_varint(&t, 1);
	if (field < 8)
		put_field(&t, field, data, n * sizeof(*data));
	put_field(&t, 8, name, strlen(name));
	if (field > 8)
		put_field(&t, field, data, n * sizeof(*data));
	put_field(graph, 5, t.data, t.len);
	buf_free(&t);
}

static void finish_model(struct buf *graph, struct buf *model)
{
	put_varint(model, 1 << 3);
	put_varint(model, 7);
	put_field(model, 7, graph->data, graph->len);
	buf_free(graph);
}

static void draw(float *to, size_t n, uint64_t seed, float noise)
{
	struct lode_rng rng, more;
	lode_rng_seed(&rng, 1);
	lode_rng_seed(&more, seed);
	for (size_t i = 0; i < n; i++)
		to[i] = (float)lode_rng_normal(&rng) + noise * (float)lode_rng_normal(&more);
}

/* Both strategies apply again exactly; returns the strategy of the smaller one. */
static enum lode_oxdl_strategy there_and_back(const struct buf *base, const struct buf *target)
{
	struct lode_delta_patch p;
	struct lode_oxdl_info info;
	struct lode_err err = {0};
	uint8_t *made;
	size_t len;
	cr_assert_eq(lode_oxdl_diff(base->data, base->len, target->data, target->len, &p, &err), 0,
		"%s", err.msg);
	cr_assert_eq(lode_oxdl_parse(p.data, p.len, &info, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_oxdl_apply(p.data, p.len, base->data, base->len, &made, &len, &err), 0,
		"%s", err.msg);
	cr_assert(len == target->len && !memcmp(made, target->data, len));
	free(made);
	free(p.data);
	return info.strategy;
}

static struct buf model_with(uint32_t field, size_t n, uint64_t seed, float noise)
{
	struct buf graph = {0}, model = {0};
	float data[2048];
	draw(data, n, seed, noise);
	put_initializer(&graph, "w", field, data, n);
	finish_model(&graph, &model);
	return model;
}

Test(oxdl, raw_data_goes_by_tensors)
{
	struct buf v1 = model_with(9, 2000, 1, 0), v2 = model_with(9, 2000, 2, 0.001f);
	cr_assert_eq(there_and_back(&v1, &v2), LODE_OXDL_TENSOR);
	buf_free(&v1);
	buf_free(&v2);
}

/* What the old encoder got wrong, since its reader re-encodes the model: here the writer sees it and falls
 * back. */
Test(oxdl, typed_fields_fall_back)
{
	struct buf v1 = model_with(4, 2000, 1, 0), v2 = model_with(4, 2000, 2, 0.001f);
	cr_assert_eq(there_and_back(&v1, &v2), LODE_OXDL_BINARY);
	buf_free(&v1);
	buf_free(&v2);
}

Test(oxdl, unknown_fields_fall_back)
{
	struct buf v1 = model_with(9, 2000, 1, 0), v2 = model_with(9, 2000, 2, 0.001f);
	put_field(&v2, 999, "future", 6);
	cr_assert_eq(there_and_back(&v1, &v2), LODE_OXDL_BINARY);
	buf_free(&v1);
	buf_free(&v2);
}

Test(oxdl, shrunk_and_grown_tensors)
{
	struct buf v1 = model_with(9, 2000, 1, 0), v2 = model_with(9, 1000, 1, 0);
	there_and_back(&v1, &v2);
	there_and_back(&v2, &v1);
	buf_free(&v1);
	buf_free(&v2);
}

Test(oxdl, duplicate_names)
{
	struct buf graph = {0}, v1 = {0}, v2 = {0};
	float a[1000], b[1000];
	draw(a, 1000, 1, 0);
	draw(b, 1000, 2, 1);
	put_initializer(&graph, "w", 9, a, 1000);
	put_initializer(&graph, "w", 9, b, 1000);
	finish_model(&graph, &v1);
	b[5] += 1;
	put_initializer(&graph, "w", 9, a, 1000);
	put_initializer(&graph, "w", 9, b, 1000);
	finish_model(&graph, &v2);
	there_and_back(&v1, &v2);
	buf_free(&v1);
	buf_free(&v2);
}

Test(oxdl, other_formats_go_binary)
{
	struct buf v1 = {0}, v2 = {0};
	for (unsigned i = 0; i < 5000; i++) {
		put_u8(&v1, (uint8_t)(i * i >> 3));
		put_u8(&v2, (uint8_t)(i * i >> 3));
	}
	v2.data[100] ^= 1;
	cr_assert_eq(there_and_back(&v1, &v2), LODE_OXDL_BINARY);
	buf_free(&v1);
	buf_free(&v2);
}

/* ---- bytes as another writer lays them out ---- */

static void put_oxdl_header(struct buf *b, uint8_t strategy, const struct buf *base,
	const struct buf *target, uint32_t n_chunks)
{
	uint8_t digest[32];
	uint64_t len = target->len;
	put_bytes(b, "OXDL\1", 5);
	put_u8(b, strategy);
	EVP_Digest(base->data, base->len, digest, NULL, EVP_sha256(), NULL);
	put_bytes(b, digest, 32);
	EVP_Digest(target->data, target->len, digest, NULL, EVP_sha256(), NULL);
	put_bytes(b, digest, 32);
	put_bytes(b, &len, 8);
	put_le32(b, n_chunks);
	put_u8(b, 1);
}

static void put_oxdl_chunk(
	struct buf *b, const char *name, uint8_t op, const void *data, size_t len)
{
	uint8_t frame[16384];
	size_t n = data ? ZSTD_compress(frame, sizeof(frame), data, len, 3) : 0;
	put_u8(b, (uint8_t)strlen(name));
	put_u8(b, 0);
	put_bytes(b, name, strlen(name));
	put_le32(b, (uint32_t)len);
	put_u8(b, op);
	put_le32(b, (uint32_t)n);
	put_bytes(b, frame, n);
}

Test(oxdl, reads_copy_xor_replace_and_skeleton)
{
	struct buf graph = {0}, v1 = {0}, v2 = {0}, skeleton = {0}, patch = {0};
	float a[100], b[100], c[100], x[100];
	struct lode_err err = {0};
	uint8_t *made;
	size_t len;
	draw(a, 100, 1, 0);
	draw(b, 100, 2, 1);
	draw(c, 100, 3, 1);
	put_initializer(&graph, "same", 9, a, 100);
	put_initializer(&graph, "moved", 9, b, 100);
	finish_model(&graph, &v1);
	put_initializer(&graph, "same", 9, a, 100);
	put_initializer(&graph, "moved", 9, c, 100);
	put_initializer(&graph, "new", 9, c, 100);
	finish_model(&graph, &v2);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = {"same", "moved", "new"};
		struct buf t = {0};
		put_bytes(&t, "\x08\x64\x10\x01", 4);
		put_field(&t, 8, names[i], strlen(names[i]));
		put_field(&graph, 5, t.data, t.len);
		buf_free(&t);
	}
	finish_model(&graph, &skeleton);
	put_oxdl_header(&patch, 1, &v1, &v2, 4);
	put_oxdl_chunk(&patch, "same", 0, NULL, 400);
	for (size_t i = 0; i < sizeof(x); i++)
		((uint8_t *)x)[i] = ((uint8_t *)b)[i] ^ ((uint8_t *)c)[i];
	put_oxdl_chunk(&patch, "moved", 2, x, 400);
	put_oxdl_chunk(&patch, "new", 1, c, 400);
	put_oxdl_chunk(&patch, "__skeleton__", 1, skeleton.data, skeleton.len);
	cr_assert_eq(lode_oxdl_apply(patch.data, patch.len, v1.data, v1.len, &made, &len, &err), 0,
		"%s", err.msg);
	cr_assert(len == v2.len && !memcmp(made, v2.data, len));
	free(made);
	for (size_t cut = 0; cut < patch.len; cut++)
		cr_assert_neq(
			lode_oxdl_apply(patch.data, cut, v1.data, v1.len, &made, &len, NULL), 0);
	buf_free(&v1);
	buf_free(&v2);
	buf_free(&skeleton);
	buf_free(&patch);
}

Test(oxdl, a_header_cannot_ask_for_memory)
{
	struct buf v1 = model_with(9, 10, 1, 0), patch = {0};
	uint8_t *made;
	size_t len;
	put_oxdl_header(&patch, 1, &v1, &v1, UINT32_MAX);
	cr_assert_eq(patch.len, 83);
	cr_assert_eq(lode_oxdl_apply(patch.data, patch.len, v1.data, v1.len, &made, &len, NULL),
		-EBADMSG);
	buf_free(&patch);
	put_oxdl_header(&patch, 0, &v1, &v1, 0);
	memset(patch.data + 70, 0xff, 8);
	cr_assert_eq(
		lode_oxdl_apply(patch.data, patch.len, v1.data, v1.len, &made, &len, NULL), -EFBIG);
	buf_free(&patch);
	buf_free(&v1);
}
