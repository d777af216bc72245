/* SPDX-License-Identifier: BSD-3-Clause */
/* The real files of the data folder: LODESTONE_DATA_DIR, else ../shared/data beside the source. */
#include <criterion/criterion.h>

#include "../data_dir.h"
#include "lode_package.h"

struct expected {
	const char *path;
	uint32_t n_files, n_tensors; /* tensors with fixed-size elements */
	double share;		     /* of the package that they are */
};

static void check(const char *data_dir, const struct expected *x)
{
	char path[512];
	struct lode_package pkg;
	struct lode_err err;
	snprintf(path, sizeof(path), "%s/model-pairs/%s", data_dir, x->path);
	cr_assert_eq(lode_package_open(&pkg, path, &lode_limits_delivery, &err), 0, "%s", err.msg);
	cr_assert_eq(pkg.n_files, x->n_files, "%s", x->path);
	uint32_t n_tensors = 0;
	uint64_t tensor_bytes = 0, all_bytes = 0;
	for (size_t i = 0; i < pkg.n_extents; i++) {
		bool tensor = pkg.extents[i].dtype != LODE_BYTES;
		n_tensors += tensor;
		tensor_bytes += tensor ? pkg.extents[i].n_bytes : 0;
		all_bytes += pkg.extents[i].n_bytes;
	}
	cr_expect_eq(n_tensors, x->n_tensors, "%s: %u tensors", x->path, n_tensors);
	cr_expect_geq((double)tensor_bytes, x->share * (double)all_bytes, "%s", x->path);
	for (uint32_t f = 0; f < pkg.n_files && x->share > 0 && x->n_files == 1; f++)
		cr_expect_str_eq(pkg.files[f].note, "");
	lode_package_close(&pkg);
}

Test(data, every_weight_of_the_model_pairs_is_found)
{
	static const struct expected files[] = {
		{"seed-mlp/v1.onnx", 1, 6, .999},
		{"cnn/v1.onnx", 1, 19, .99},
		{"cnn-int8/v1.onnx", 1, 30, .9},
		{"mlp-float-data/v1.onnx", 1, 6, .99},
		{"mlp-external/v1", 2, 6, .98},
		{"mlp-external/v1/model.onnx", 2, 6, .98},
		{"gpt/v1.safetensors", 1, 41, .99},
		{"gpt/v1-bf16.safetensors", 1, 41, .98},
		{"lstm/v1.safetensors", 1, 10, .99},
		{"mlp-unknown/v1.npz", 1, 0, 0},
	};
	const char *data_dir = data_dir_or_skip();
	for (size_t i = 0; i < LODE_ARRAY_LEN(files); i++)
		check(data_dir, &files[i]);
}
