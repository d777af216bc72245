/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_package.h"

#include <stdio.h>
#include <stdlib.h>

/* A file image: length, header, n_data bytes of zeros. */
static uint8_t *image(const char *header, size_t n_data, size_t *n)
{
	uint64_t n_header = strlen(header);
	*n = 8 + n_header + n_data;
	uint8_t *out = calloc(1, *n);
	memcpy(out, &n_header, 8);
	memcpy(out + 8, header, n_header);
	return out;
}

static int open_image(struct lode_package *pkg, const uint8_t *data, size_t n,
	const struct lode_limits *limits, struct lode_err *err)
{
	struct lode_package_input in = {"m.safetensors", data, n};
	return lode_package_from_memory(pkg, &in, 1, limits, err);
}

/* Refused by engine with a sentence that holds `why`; one run of plain bytes under delivery. */
static void expect_fault(const char *header, size_t n_data, const char *why)
{
	struct lode_package pkg;
	struct lode_err err = {0};
	size_t n;
	uint8_t *data = image(header, n_data, &n);
	cr_assert_lt(open_image(&pkg, data, n, &lode_limits_engine, &err), 0, "%s", header);
	cr_expect(strstr(err.msg, why), "'%s' expected in '%s'", why, err.msg);
	lode_package_close(&pkg);
	cr_assert_eq(open_image(&pkg, data, n, &lode_limits_delivery, &err), 0);
	cr_assert_eq(pkg.n_extents, 1);
	cr_assert_eq(pkg.extents[0].dtype, LODE_BYTES);
	cr_assert_eq(pkg.extents[0].n_bytes, n);
	cr_expect(strstr(pkg.files[0].note, why), "'%s' expected in '%s'", why, pkg.files[0].note);
	lode_package_close(&pkg);
	free(data);
}

#define T(name, shape, begin, end)                                                               \
	"\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
	"]}"

Test(safetensors, reads_tensors_metadata_and_cover)
{
	struct lode_package pkg;
	struct lode_err err;
	size_t n;
	uint8_t *data =
		image("{\"__metadata__\":{\"a\":\"x\\n\\u00e9\"}," T("w", "[2,3]", 0, 24) "," T(
			      "s", "[]", 24, 28) "," T("e", "[0,9]", 28, 28) "}  ",
			28, &n);
	cr_assert_eq(open_image(&pkg, data, n, &lode_limits_engine, &err), 0, "%s", err.msg);
	cr_assert_eq(pkg.n_extents, 4, "header and three tensors");
	cr_assert_eq(pkg.files[0].format, LODE_FORMAT_SAFETENSORS);
	const struct lode_extent *w = lode_package_tensor(&pkg, "w");
	cr_assert_eq(w->rows, 2);
	cr_assert_eq(w->cols, 3);
	cr_assert_eq(w->offset_bytes, n - 28);
	cr_assert_eq(lode_package_tensor(&pkg, "s")->n_bytes, 4);
	cr_assert_eq(lode_package_tensor(&pkg, "e")->n_bytes, 0);
	cr_assert_str_eq(lode_package_metadata(&pkg, "a"), "x\n\xc3\xa9");
	cr_assert_null(lode_package_tensor(&pkg, "x"));
	lode_package_close(&pkg);
	free(data);
}

Test(safetensors, odd_layouts_are_refused)
{
	expect_fault(
		"{" T("a", "[1]", 0, 4) "," T("b", "[1]", 0, 4) "}", 4, "inside the one before");
	expect_fault(
		"{" T("a", "[2]", 0, 8) "," T("b", "[1]", 4, 8) "}", 8, "inside the one before");
	expect_fault("{" T("a", "[1]", 0, 4) "," T("b", "[1]", 8, 12) "}", 12, "leaving a hole");
	expect_fault("{" T("a", "[1]", 4, 8) "}", 8, "leaving a hole");
	expect_fault("{" T("a", "[1]", 0, 4) "}", 8, "4 bytes after the last tensor");
	expect_fault("{" T("a", "[2]", 0, 8) "}", 4, "the buffer has 4 bytes");
	expect_fault("{}", 4, "4 bytes after the last tensor");
	expect_fault("{" T("a", "[2]", 0, 4) "}", 4, "need 8 bytes, data_offsets hold 4");
	expect_fault("{" T("a", "[1]", 4, 0) "}", 4, "begin <= end");
	expect_fault("{" T("a", "[4294967296,4294967296,2]", 0, 4) "}", 4, "above 2^63 bytes");
	expect_fault("{" T("a", "[0,4294967296,4294967296,4294967296]", 0, 4) "}", 4, "");
	expect_fault("{" T("a", "[1]", 0, 18446744073709551615) "}", 4, "above 2^63 - 1");
	expect_fault("{" T("a", "[1]", 0, 18446744073709551620) "}", 4, "above 2^63 - 1");
}

Test(safetensors, odd_json_is_refused)
{
	expect_fault("{" T("a", "[1]", 0, 4) "," T("a", "[1]", 4, 8) "}", 8, "'a' occurs twice");
	expect_fault("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "'k' occurs twice");
	expect_fault("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "occurs twice");
	expect_fault("{\"__metadata__\":{\"k\":1}}", 0, "'\"' expected");
	expect_fault("{\"__metadata__\":{\"k\":{\"deep\":\"x\"}}}", 0, "'\"' expected");
	expect_fault("{" T("a", "[1e0]", 0, 4) "}", 4, "plain decimal");
	expect_fault("{" T("a", "[1.0]", 0, 4) "}", 4, "plain decimal");
	expect_fault("{" T("a", "[-1]", 0, 4) "}", 4, "unsigned integer");
	expect_fault("{" T("a", "[01]", 0, 4) "}", 4, "leading zero");
	expect_fault("{" T("a", "[[1]]", 0, 4) "}", 4, "unsigned integer");
	expect_fault("{" T("a", "[1]", 0, 4) "} x", 4, "after the end");
	expect_fault("{" T("a", "[1]", 0, 4) "}\n{}", 4, "after the end");
	expect_fault("{" T("a", "[1]", 0, 4) ",}", 4, "'\"' expected");
	expect_fault("{" T("", "[1]", 0, 4) "}", 4, "empty name");
	expect_fault("{" T("a\x01", "[1]", 0, 4) "}", 4, "control character");
	expect_fault("{" T("a\\u0000b", "[1]", 0, 4) "}", 4, "control character");
	expect_fault("{" T("a\\ud800", "[1]", 0, 4) "}", 4, "surrogate");
	expect_fault("{" T("a\xc0\x80", "[1]", 0, 4) "}", 4, "not UTF-8");
	expect_fault("{" T("a\xed\xa0\x80", "[1]", 0, 4) "}", 4, "not UTF-8");
	expect_fault("{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
		"'F33' is unknown");
	expect_fault("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "all required");
	expect_fault(
		"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1]}}", 4, "occurs twice");
	expect_fault("{\"a\":{\"type\":\"F32\"}}", 4, "dtype, shape and data_offsets are allowed");
	expect_fault("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4,
		"more than 2");
	expect_fault("{", 0, "end of header");
	expect_fault("{\"a", 0, "end of header");
	expect_fault("{\"a\\", 0, "escape is cut");
}

Test(safetensors, every_cut_of_a_header_is_a_fault)
{
	const char *header = "{\"__metadata__\":{\"k\":\"v\\u0041\"}," T("a", "[1]", 0, 4) "}";
	for (size_t cut = 1; cut < strlen(header); cut++) {
		char part[256];
		snprintf(part, sizeof(part), "%.*s", (int)cut, header);
		expect_fault(part, 0, "");
	}
}

Test(safetensors, lengths_beyond_the_file_are_unknown_bytes)
{
	uint8_t data[16] = {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
	struct lode_package pkg;
	struct lode_err err;
	for (size_t n = 0; n <= sizeof(data); n++) {
		cr_assert_eq(open_image(&pkg, data, n, &lode_limits_delivery, &err), 0);
		cr_assert_eq(pkg.files[0].format, LODE_FORMAT_UNKNOWN);
		cr_assert_eq(pkg.n_extents, n ? 1 : 0);
		lode_package_close(&pkg);
	}
	memset(data, 0xff, 8);
	cr_assert_eq(open_image(&pkg, data, sizeof(data), &lode_limits_engine, &err), -EBADMSG);
	cr_assert_not_null(strstr(err.msg, "neither safetensors nor ONNX"));
	lode_package_close(&pkg);
}

Test(safetensors, engine_limits)
{
	expect_fault("{" T("a", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "more than");
	struct lode_package pkg;
	struct lode_err err;
	size_t n;
	uint8_t *data =
		image("{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, &n);
	cr_assert_eq(open_image(&pkg, data, n, &lode_limits_engine, &err), -EBADMSG);
	cr_assert_not_null(strstr(err.msg, "tensor 'a'"));
	cr_assert_not_null(strstr(err.msg, "F64 is not allowed by the engine limits"));
	lode_package_close(&pkg);
	cr_assert_eq(open_image(&pkg, data, n, &lode_limits_delivery, &err), 0);
	cr_assert_eq(lode_package_tensor(&pkg, "a")->dtype, LODE_F64);
	lode_package_close(&pkg);
	free(data);
}

Test(safetensors, four_bit_tensors_are_carried_as_bytes)
{
	struct lode_package pkg;
	struct lode_err err;
	size_t n;
	uint8_t *data =
		image("{\"q\":{\"dtype\":\"F4\",\"shape\":[6],\"data_offsets\":[0,3]}}", 3, &n);
	cr_assert_eq(open_image(&pkg, data, n, &lode_limits_delivery, &err), 0);
	cr_assert_eq(lode_package_tensor(&pkg, "q")->dtype, LODE_BYTES);
	cr_assert_eq(lode_package_tensor(&pkg, "q")->cols, 3);
	lode_package_close(&pkg);
	free(data);
}

Test(safetensors, a_hundred_thousand_tensors_and_not_one_more)
{
	struct lode_package pkg;
	struct lode_err err;
	for (int n_tensors = 100000; n_tensors <= 100001; n_tensors++) {
		char *header = malloc(80 * (size_t)n_tensors), *p = header;
		*p++ = '{';
		for (int i = 0; i < n_tensors; i++)
			p += sprintf(p,
				"%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]"
				"}",
				i ? "," : "", i, i, i + 1);
		sprintf(p, "}");
		size_t n;
		uint8_t *data = image(header, (size_t)n_tensors, &n);
		cr_assert_eq(open_image(&pkg, data, n, &lode_limits_delivery, &err), 0);
		cr_assert_eq(pkg.n_extents, n_tensors == 100000 ? 100001 : 1);
		lode_package_close(&pkg);
		free(data);
		free(header);
	}
}

Test(safetensors, written_files_read_back)
{
	float w[6] = {1, 2, 3, 4, 5, 6};
	int8_t q[3] = {-1, 0, 1};
	struct lode_tensor_out tensors[] = {
		{"q", LODE_I8, 1, {3}, q},
		{"w \"x\"", LODE_F32, 2, {2, 3}, w},
	};
	struct lode_metadata metadata[] = {{"k", "line\nbreak \"q\" \\"}};
	struct lode_package pkg;
	struct lode_err err;
	uint8_t *data;
	size_t n;
	cr_assert_eq(lode_safetensors_write(tensors, 2, metadata, 1, &data, &n, &err), 0);
	cr_assert_eq(open_image(&pkg, data, n, &lode_limits_engine, &err), 0, "%s", err.msg);
	const struct lode_extent *e = lode_package_tensor(&pkg, "w \"x\"");
	cr_assert_eq(e->offset_bytes % 8, 0);
	cr_assert_arr_eq(lode_extent_data(&pkg, e), w, sizeof(w));
	e = lode_package_tensor(&pkg, "q");
	cr_assert_arr_eq(lode_extent_data(&pkg, e), q, sizeof(q));
	cr_assert_str_eq(lode_package_metadata(&pkg, "k"), metadata[0].value);
	lode_package_close(&pkg);
	free(data);
}
