/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes as an ONNX file; its last 64 bytes are its side file too. */
#include "check_package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n_side = LODE_MIN(size, (size_t)64);
	struct lode_package_input files[] = {
		{"m.onnx", data, size}, {"w.data", data + size - n_side, n_side}};
	check_files(files, 1);
	/* only delivery knows packages of two files */
	struct lode_package pkg;
	require(!lode_package_from_memory(&pkg, files, 2, &lode_limits_delivery, NULL));
	check_package(&pkg);
	lode_package_close(&pkg);
	return 0;
}
