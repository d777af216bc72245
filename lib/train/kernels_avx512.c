/* SPDX-License-Identifier: BSD-3-Clause */
#define VEC_BYTES    64
#define GEMM_ROWS    6
#define KERNELS	     kernels_avx512
#define KERNELS_NAME "avx512"
#include "kernels_body.h"
