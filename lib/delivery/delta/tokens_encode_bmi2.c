/* SPDX-License-Identifier: BSD-3-Clause */
/* The same source with shifts that need no fixed register, as for decoding. */
#define TOKENS_ENCODE tokens_encode_bmi2
#include "tokens_encode.c"
