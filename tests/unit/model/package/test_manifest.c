/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_package.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

static void manifest_of(
	const void *data, size_t n, struct lode_package *pkg, struct lode_manifest *m)
{
	struct lode_package_input in = {"m.bin", data, n};
	cr_assert_eq(lode_package_from_memory(pkg, &in, 1, &lode_limits_delivery, NULL), 0);
	cr_assert_eq(lode_manifest_make(m, pkg, NULL), 0);
}

/* The tree by its recursive definition, RFC 6962 2.1. */
static void reference_root(const uint8_t (*leaf)[32], size_t n, uint8_t out[32])
{
	if (n == 1) {
		memcpy(out, leaf[0], 32);
		return;
	}
	size_t k = 1;
	while (2 * k < n)
		k *= 2;
	uint8_t text[65] = {0x01};
	reference_root(leaf, k, text + 1);
	reference_root(leaf + k, n - k, text + 33);
	SHA256(text, sizeof(text), out);
}

static void reference_leaf(
	const struct lode_package *pkg, const struct lode_extent *e, uint8_t out[32])
{
	uint8_t text[300] = {0x00};
	memcpy(text + 1, &e->offset_bytes, 8);
	memcpy(text + 9, &e->n_bytes, 8);
	text[17] = (uint8_t)e->dtype;
	SHA256(lode_extent_data(pkg, e), e->n_bytes, text + 18);
	size_t n = 50;
	n += (size_t)(stpcpy((char *)text + n, pkg->files[0].name) - ((char *)text + n)) + 1;
	n += (size_t)(stpcpy((char *)text + n, e->name) - ((char *)text + n));
	SHA256(text, n, out);
}

Test(manifest, equals_the_definition_for_many_tensor_counts)
{
	for (size_t n_tensors = 1; n_tensors < 20; n_tensors++) {
		struct lode_tensor_out t[20];
		char names[20][8];
		uint8_t *data, values[20] = {0}, leaf[21][32], root[32], whole[32];
		size_t n;
		for (size_t i = 0; i < n_tensors; i++) {
			values[i] = (uint8_t)i;
			snprintf(names[i], sizeof(names[i]), "t%zu", i);
			t[i] = (struct lode_tensor_out){names[i], LODE_U8, 1, {1}, &values[i]};
		}
		cr_assert_eq(lode_safetensors_write(t, n_tensors, NULL, 0, &data, &n, NULL), 0);
		struct lode_package pkg;
		struct lode_manifest m;
		manifest_of(data, n, &pkg, &m);
		cr_assert_eq(pkg.n_extents, n_tensors + 1);
		for (size_t i = 0; i < pkg.n_extents; i++)
			reference_leaf(&pkg, &pkg.extents[i], leaf[i]);
		reference_root((const uint8_t(*)[32])leaf, pkg.n_extents, root);
		cr_assert_arr_eq(m.merkle_root, root, 32);
		SHA256(data, n, whole);
		cr_assert_arr_eq(m.file_sha256[0], whole, 32);
		lode_manifest_free(&m);
		lode_package_close(&pkg);
		free(data);
	}
}

Test(manifest, every_byte_of_a_file_changes_the_root)
{
	uint8_t w[8] = {1, 2, 3, 4, 5, 6, 7, 8}, *data;
	struct lode_tensor_out t = {"w", LODE_U8, 1, {8}, w};
	size_t n;
	cr_assert_eq(lode_safetensors_write(&t, 1, NULL, 0, &data, &n, NULL), 0);
	struct lode_package pkg;
	struct lode_manifest m, other;
	manifest_of(data, n, &pkg, &m);
	lode_package_close(&pkg);
	for (size_t i = 0; i < n; i++) {
		data[i] ^= 1;
		manifest_of(data, n, &pkg, &other);
		cr_assert_neq(memcmp(m.merkle_root, other.merkle_root, 32), 0, "byte %zu", i);
		lode_manifest_free(&other);
		lode_package_close(&pkg);
		data[i] ^= 1;
	}
	lode_manifest_free(&m);
	free(data);
}

Test(manifest, json_names_every_tensor)
{
	uint8_t w[2] = {0}, *data;
	struct lode_tensor_out t = {"layer.w", LODE_U8, 2, {1, 2}, w};
	size_t n;
	cr_assert_eq(lode_safetensors_write(&t, 1, NULL, 0, &data, &n, NULL), 0);
	struct lode_package pkg;
	struct lode_manifest m;
	manifest_of(data, n, &pkg, &m);
	char text[2000];
	struct lode_json json;
	lode_json_begin(&json, text, sizeof(text));
	lode_manifest_json(&m, &pkg, &json);
	cr_assert_gt(lode_json_end(&json), 0);
	cr_assert_not_null(strstr(
		text, "\"name\":\"layer.w\",\"file\":\"m.bin\",\"dtype\":\"U8\",\"shape\":[1,2]"));
	lode_manifest_free(&m);
	lode_package_close(&pkg);
	free(data);
}

Test(manifest, an_empty_package_has_the_hash_of_nothing)
{
	struct lode_package pkg;
	struct lode_manifest m;
	uint8_t nothing[32];
	manifest_of("", 0, &pkg, &m);
	SHA256(NULL, 0, nothing);
	cr_assert_arr_eq(m.merkle_root, nothing, 32);
	lode_manifest_free(&m);
	lode_package_close(&pkg);
}
