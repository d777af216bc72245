/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes as a safetensors file. */
#include "check_package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_package_input file = {"m.safetensors", data, size};
	check_files(&file, 1);
	return 0;
}
