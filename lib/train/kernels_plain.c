/* SPDX-License-Identifier: BSD-3-Clause */
#define VEC_BYTES    16
#define GEMM_ROWS    4
#define KERNELS	     kernels_plain
#define KERNELS_NAME "plain"
#include "kernels_body.h"
