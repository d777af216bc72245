/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "../pb_build.h"
#include "lode_package.h"

#include <stdio.h>
#include <unistd.h>

static const float values[6] = {1, 2, 3, 4, 5, 6};

/* A TensorProto FLOAT [2,3] without payload. */
static struct pbw *tensor(const char *name)
{
	struct pbw *t = pbw_new();
	pbw_u64(t, 1, 2);
	pbw_u64(t, 1, 3);
	pbw_u64(t, 2, 1);
	if (name)
		pbw_text(t, 8, name);
	return t;
}

static struct pbw *raw_tensor(const char *name)
{
	struct pbw *t = tensor(name);
	pbw_len(t, 9, values, sizeof(values));
	return t;
}

static struct pbw *external_tensor(
	const char *name, const char *location, const char *offset, const char *length)
{
	const char *const pairs[][2] = {
		{"location", location}, {"offset", offset}, {"length", length}};
	struct pbw *t = tensor(name);
	for (int i = 0; i < 3; i++) {
		if (!pairs[i][1])
			continue;
		struct pbw *entry = pbw_new();
		pbw_text(entry, 1, pairs[i][0]);
		pbw_text(entry, 2, pairs[i][1]);
		pbw_put(t, 13, entry);
	}
	pbw_u64(t, 14, 1);
	return t;
}

/* ModelProto around a graph; takes the graph. */
static struct pbw *model(struct pbw *graph)
{
	struct pbw *m = pbw_new();
	pbw_u64(m, 1, 8);
	pbw_put(m, 7, graph);
	return m;
}

static struct pbw *model_of(struct pbw *initializer)
{
	struct pbw *graph = pbw_new();
	pbw_put(graph, 5, initializer);
	return model(graph);
}

static void open_model(struct lode_package *pkg, const struct pbw *m)
{
	struct lode_package_input in = {"m.onnx", m->buf, m->n};
	struct lode_err err = {0};
	cr_assert_eq(lode_package_from_memory(pkg, &in, 1, &lode_limits_delivery, &err), 0, "%s",
		err.msg);
	uint64_t at = 0;
	for (size_t i = 0; i < pkg->n_extents; i++) {
		cr_assert_eq(pkg->extents[i].offset_bytes, at);
		at += pkg->extents[i].n_bytes;
	}
	cr_assert_eq(at, m->n, "extents cover the file");
}

static void expect_tensor(const struct lode_package *pkg, const char *name)
{
	const struct lode_extent *e = lode_package_tensor(pkg, name);
	cr_assert_not_null(e, "%s: %s", name, pkg->files[0].note);
	cr_assert_eq(e->dtype, LODE_F32);
	cr_assert_eq(e->rows, 2);
	cr_assert_eq(e->cols, 3);
	cr_assert_arr_eq(lode_extent_data(pkg, e), values, sizeof(values));
}

/* The tensor stays plain bytes, with a note of why; engine refuses. Takes m. */
static void expect_odd(struct pbw *m, const char *why)
{
	struct lode_package pkg;
	open_model(&pkg, m);
	cr_assert_eq(pkg.n_extents, 1, "%s", why);
	cr_assert_eq(pkg.extents[0].dtype, LODE_BYTES);
	cr_expect(strstr(pkg.files[0].note, why), "'%s' expected in '%s'", why, pkg.files[0].note);
	lode_package_close(&pkg);
	struct lode_package_input in = {"m.onnx", m->buf, m->n};
	struct lode_err err = {0};
	cr_assert_lt(
		lode_package_from_memory(&pkg, &in, 1, &lode_limits_engine, &err), 0, "%s", why);
	lode_package_close(&pkg);
	free(m);
}

Test(onnx, raw_and_float_data)
{
	struct pbw *graph = pbw_new(), *t = tensor("typed");
	pbw_len(t, 4, values, sizeof(values));
	pbw_put(graph, 5, raw_tensor("raw"));
	pbw_put(graph, 5, t);
	struct pbw *m = model(graph);
	struct lode_package pkg;
	open_model(&pkg, m);
	expect_tensor(&pkg, "raw");
	expect_tensor(&pkg, "typed");
	cr_assert_eq(pkg.n_extents, 4);
	lode_package_close(&pkg);
	free(m);
}

Test(onnx, field_order_unknown_fields_and_padding_do_not_matter)
{
	struct pbw *graph = pbw_new(), *t = pbw_new(), *m = pbw_new();
	pbw_text(t, 3000, "of the future");
	pbw_len(t, 9, values, sizeof(values));
	pbw_text(t, 8, "w");
	pbw_len(t, 1, "\x02\x03", 2); /* packed dims */
	pbw_u64(t, 2, 1);
	pbw_put(graph, 5, t);
	pbw_text(m, 99, "unknown first");
	pbw_put(m, 7, graph);
	pbw_u64(m, 1, 8);
	struct lode_package pkg;
	open_model(&pkg, m);
	expect_tensor(&pkg, "w");
	lode_package_close(&pkg);
	free(m);
}

Test(onnx, constants_subgraphs_functions_and_sparse)
{
	struct pbw *inner = pbw_new(), *branch = pbw_new(), *constant = pbw_new(),
		   *value = pbw_new();
	struct pbw *node = pbw_new(), *graph = pbw_new(), *sparse = pbw_new(),
		   *function = pbw_new();
	pbw_text(value, 1, "value");
	pbw_put(value, 5, raw_tensor(NULL));
	pbw_text(constant, 2, "c");
	pbw_put(constant, 5, value);
	pbw_put(inner, 1, constant);
	pbw_put(inner, 5, raw_tensor("w"));
	pbw_put(branch, 6, inner);
	pbw_text(branch, 1, "then_branch"); /* the name after the graph */
	pbw_text(node, 3, "if");
	pbw_put(node, 5, branch);
	pbw_put(sparse, 1, raw_tensor("s"));
	pbw_put(graph, 15, sparse);
	pbw_text(function, 1, "f");
	struct pbw *copy = pbw_new();
	pbw_bytes(copy, node->buf, node->n);
	pbw_put(function, 7, copy);
	pbw_put(graph, 1, node);
	struct pbw *m = model(graph);
	pbw_put(m, 25, function);
	struct lode_package pkg;
	open_model(&pkg, m);
	expect_tensor(&pkg, "if/then_branch/c/value");
	expect_tensor(&pkg, "if/then_branch/w");
	expect_tensor(&pkg, "f/if/then_branch/w");
	expect_tensor(&pkg, "values/s");
	lode_package_close(&pkg);
	free(m);
}

Test(onnx, duplicate_names_are_two_tensors)
{
	struct pbw *graph = pbw_new();
	pbw_put(graph, 5, raw_tensor("w"));
	pbw_put(graph, 5, raw_tensor("w"));
	struct pbw *m = model(graph);
	struct lode_package pkg;
	open_model(&pkg, m);
	cr_assert_eq(pkg.n_extents, 4);
	cr_assert_str_eq(pkg.extents[1].name, "w");
	cr_assert_str_eq(pkg.extents[3].name, "w");
	lode_package_close(&pkg);
	free(m);
}

Test(onnx, integer_fields_are_carried_as_bytes)
{
	struct pbw *t = pbw_new();
	pbw_u64(t, 1, 3);
	pbw_u64(t, 2, 7);
	pbw_text(t, 8, "shape");
	pbw_len(t, 7, "\x01\x02\x03", 3);
	struct pbw *m = model_of(t);
	struct lode_package pkg;
	open_model(&pkg, m);
	const struct lode_extent *e = lode_package_tensor(&pkg, "shape");
	cr_assert_eq(e->dtype, LODE_BYTES);
	cr_assert_eq(e->n_bytes, 3);
	lode_package_close(&pkg);
	free(m);
}

Test(onnx, odd_payloads_stay_bytes)
{
	struct pbw *t = raw_tensor("w");
	pbw_len(t, 9, values, sizeof(values));
	expect_odd(model_of(t), "more than one payload");
	t = raw_tensor("w");
	pbw_len(t, 4, values, sizeof(values));
	expect_odd(model_of(t), "more than one payload");
	t = tensor("w");
	for (int i = 0; i < 6; i++)
		pbw_f32(t, 4, values[i]);
	expect_odd(model_of(t), "not packed");
	t = tensor("w");
	pbw_len(t, 9, values, 20);
	expect_odd(model_of(t), "need 24 bytes, 20 found");
	t = raw_tensor("w");
	pbw_u64(t, 1, UINT64_MAX);
	expect_odd(model_of(t), "negative");
	t = raw_tensor("w");
	for (int i = 0; i < 2; i++)
		pbw_u64(t, 1, INT64_MAX);
	expect_odd(model_of(t), "above 2^63");
	t = raw_tensor("w");
	for (int i = 0; i < 7; i++)
		pbw_u64(t, 1, 1);
	expect_odd(model_of(t), "more than 8 dimensions");
	t = tensor("w");
	pbw_text(t, 6, "text");
	expect_odd(model_of(t), "strings");
	t = raw_tensor("w");
	pbw_text(t, 3, "");
	expect_odd(model_of(t), "segment");
	expect_odd(model_of(tensor("w")), "need 24 bytes, 0 found");
	expect_odd(model_of(raw_tensor("w\x1b[2J")), "not printable");
	expect_odd(model_of(raw_tensor("")), "name is empty");
}

Test(onnx, broken_wire_format_is_plain_bytes)
{
	struct pbw *graph = pbw_new();
	pbw_bytes(graph, "\x2a\x7f", 2); /* initializer longer than the graph */
	expect_odd(model(graph), "GraphProto is not well-formed");
	static const struct {
		const char *bytes;
		size_t n;
	} cases[] = {
		{"\x00\x01", 2},					  /* field 0 */
		{"\x0b", 1},						  /* group */
		{"\x0e", 1},						  /* wire type 6 */
		{"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11},	  /* varint of 65 bits */
		{"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12}, /* 11 bytes */
		{"\xf8\xff\xff\xff\x1f\x01", 6}, /* field number 2^30 and more */
		{"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* length 2^64 - 1 */
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(cases); i++) {
		struct pbw *t = raw_tensor("w");
		pbw_bytes(t, cases[i].bytes, cases[i].n);
		expect_odd(model_of(t), "TensorProto is not well-formed");
	}
}

Test(onnx, nesting_is_limited)
{
	struct pbw *graph = pbw_new();
	pbw_put(graph, 5, raw_tensor("w"));
	for (int i = 0; i < 17; i++) {
		struct pbw *outer = pbw_new(), *node = pbw_new(), *attribute = pbw_new();
		pbw_text(attribute, 1, "body");
		pbw_put(attribute, 6, graph);
		pbw_put(node, 5, attribute);
		pbw_put(outer, 1, node);
		graph = outer;
	}
	expect_odd(model(graph), "more than 16 graphs inside graphs");
}

/* ---- external data ---- */

static struct lode_package_input side = {"w.data", NULL, 64};

static void open_external(struct lode_package *pkg, struct pbw *t, struct pbw **m)
{
	static uint8_t data[64];
	memcpy(data + 8, values, sizeof(values));
	side.data = data;
	*m = model_of(t);
	struct lode_package_input in[] = {{"m.onnx", (*m)->buf, (*m)->n}, side};
	cr_assert_eq(lode_package_from_memory(pkg, in, 2, &lode_limits_delivery, NULL), 0);
}

static void expect_external_odd(struct pbw *t, const char *why)
{
	struct lode_package pkg;
	struct pbw *m;
	open_external(&pkg, t, &m);
	cr_assert_eq(pkg.n_extents, 2, "%s", why);
	cr_expect(strstr(pkg.files[0].note, why), "'%s' expected in '%s'", why, pkg.files[0].note);
	lode_package_close(&pkg);
	free(m);
}

Test(onnx, external_data_of_the_same_folder)
{
	struct lode_package pkg;
	struct pbw *m;
	open_external(&pkg, external_tensor("w", "w.data", "8", "24"), &m);
	const struct lode_extent *e = lode_package_tensor(&pkg, "w");
	cr_assert_not_null(e, "%s", pkg.files[0].note);
	cr_assert_eq(e->file_idx, 1);
	cr_assert_eq(e->offset_bytes, 8);
	expect_tensor(&pkg, "w");
	cr_assert_eq(pkg.files[1].n_extents, 3);
	lode_package_close(&pkg);
	free(m);
}

Test(onnx, external_data_stays_in_its_folder_and_file)
{
	static const char *const locations[] = {"../w.data", "a/../../w.data", "/etc/passwd",
		"a/w.data", ".", "..", ".hidden", "w.data\n", "C:\\w.data", "%2e%2e"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(locations); i++)
		expect_external_odd(
			external_tensor("w", locations[i], "8", "24"), "could leave the folder");
	expect_external_odd(external_tensor("w", "", "8", "24"), "location is empty");
	expect_external_odd(external_tensor("w", "absent", "8", "24"), "not among the files");
	expect_external_odd(external_tensor("w", NULL, "8", "24"), "no location");
	expect_external_odd(
		external_tensor("w", "w.data", "48", "24"), "outside 'w.data' of 64 bytes");
	expect_external_odd(external_tensor("w", "w.data", "9223372036854775807", "24"), "outside");
	expect_external_odd(external_tensor("w", "w.data", "8", "9223372036854775807"), "outside");
	expect_external_odd(
		external_tensor("w", "w.data", "18446744073709551615", "24"), "plain decimal");
	expect_external_odd(external_tensor("w", "w.data", "-8", "24"), "plain decimal");
	expect_external_odd(external_tensor("w", "w.data", "8", "23"), "need 24 bytes, 23 found");
	expect_external_odd(external_tensor("w", "w.data", "8", NULL), "need 24 bytes, 56 found");
	struct pbw *t = external_tensor("w", "w.data", "8", "24");
	pbw_len(t, 9, values, sizeof(values));
	expect_external_odd(t, "more than one payload");
}

Test(onnx, shared_and_overlapping_external_ranges)
{
	struct pbw *graph = pbw_new();
	pbw_put(graph, 5, external_tensor("a", "w.data", "8", "24"));
	pbw_put(graph, 5, external_tensor("tied", "w.data", "8", "24"));
	pbw_put(graph, 5, external_tensor("crossing", "w.data", "20", "24"));
	struct pbw *m = model(graph);
	uint8_t data[64] = {0};
	struct lode_package_input in[] = {{"m.onnx", m->buf, m->n}, {"w.data", data, 64}};
	struct lode_package pkg;
	cr_assert_eq(lode_package_from_memory(&pkg, in, 2, &lode_limits_delivery, NULL), 0);
	cr_assert_eq(pkg.files[1].n_extents, 3);
	cr_assert_eq(pkg.extents[pkg.files[1].first_extent + 1].n_bytes, 24);
	cr_assert_not_null(strstr(pkg.files[1].note, "overlaps"));
	lode_package_close(&pkg);
	free(m);
}

Test(onnx, external_links_on_disk_are_not_followed)
{
	char dir[] = "/tmp/lode-onnx-XXXXXX", path[64], outside[64], link_path[64], cmd[96];
	cr_assert_not_null(mkdtemp(dir));
	struct pbw *m = model_of(external_tensor("w", "w.data", "0", "24"));
	snprintf(path, sizeof(path), "%s/m.onnx", dir);
	snprintf(outside, sizeof(outside), "%s.outside", dir);
	snprintf(link_path, sizeof(link_path), "%s/w.data", dir);
	FILE *f = fopen(path, "wb");
	fwrite(m->buf, 1, m->n, f);
	fclose(f);
	f = fopen(outside, "wb");
	fwrite(values, 1, sizeof(values), f);
	fclose(f);
	struct lode_package pkg;
	for (int hard = 0; hard < 2; hard++) {
		cr_assert_eq(hard ? link(outside, link_path) : symlink(outside, link_path), 0);
		cr_assert_eq(lode_package_open(&pkg, path, &lode_limits_delivery, NULL), 0);
		cr_assert_null(lode_package_tensor(&pkg, "w"));
		cr_assert_eq(pkg.n_files, 1);
		cr_assert_neq(pkg.files[0].note[0], 0);
		lode_package_close(&pkg);
		unlink(link_path);
	}
	cr_assert_eq(rename(outside, link_path), 0);
	cr_assert_eq(lode_package_open(&pkg, path, &lode_limits_delivery, NULL), 0);
	expect_tensor(&pkg, "w");
	lode_package_close(&pkg);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_assert_eq(system(cmd), 0);
	free(m);
}
