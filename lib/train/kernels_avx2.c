/* SPDX-License-Identifier: BSD-3-Clause */
#define VEC_BYTES    32
#define GEMM_ROWS    3
#define KERNELS	     kernels_avx2
#define KERNELS_NAME "avx2"
#include "kernels_body.h"
