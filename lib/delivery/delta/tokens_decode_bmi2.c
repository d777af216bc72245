/* SPDX-License-Identifier: BSD-3-Clause */
/* The same source with shifts that need no fixed register: a tenth faster. */
#define TOKENS_DECODE tokens_decode_bmi2
#include "tokens_decode.c"
