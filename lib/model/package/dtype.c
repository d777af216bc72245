/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_package.h"

static const struct {
	const char *name;
	uint8_t size;
} dtypes[LODE_N_DTYPES] = {
	[LODE_BYTES] = {"BYTES", 1},
	[LODE_BOOL] = {"BOOL", 1},
	[LODE_U8] = {"U8", 1},
	[LODE_I8] = {"I8", 1},
	[LODE_F8_E5M2] = {"F8_E5M2", 1},
	[LODE_F8_E4M3] = {"F8_E4M3", 1},
	[LODE_U16] = {"U16", 2},
	[LODE_I16] = {"I16", 2},
	[LODE_F16] = {"F16", 2},
	[LODE_BF16] = {"BF16", 2},
	[LODE_U32] = {"U32", 4},
	[LODE_I32] = {"I32", 4},
	[LODE_F32] = {"F32", 4},
	[LODE_U64] = {"U64", 8},
	[LODE_I64] = {"I64", 8},
	[LODE_F64] = {"F64", 8},
};

unsigned lode_dtype_size(enum lode_dtype dtype)
{
	return dtypes[dtype].size;
}

const char *lode_dtype_name(enum lode_dtype dtype)
{
	return dtypes[dtype].name;
}

const char *lode_format_name(enum lode_format format)
{
	static const char *const names[] = {"unknown", "safetensors", "ONNX"};
	return names[format];
}
