/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes as a model file. A fuzzer cannot make hashes, so the network to be read is small and an
 * older file, which has none, is the way to the weights. */
#include "lode_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const float calibration[160]; /* one row keeps it fast */
	struct lode_model_options options = {.calibration = calibration, .n_calibration = 1};
	struct lode_model *m;
	struct lode_err err;
	if (!lode_model_load_memory(&m, data, size, "fuzz", &options, &err))
		lode_model_free(m);
	return 0;
}
