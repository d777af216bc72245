/* SPDX-License-Identifier: BSD-3-Clause */
/* The same source with a first pass of sixteen elements at a time. */
#include "tokens_split_avx512.h"

#define TOKENS_ENCODE  tokens_encode_avx512
#define SPLIT_SIXTEENS split_sixteens
#include "tokens_encode.c"
