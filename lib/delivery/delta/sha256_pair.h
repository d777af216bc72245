/* SPDX-License-Identifier: BSD-3-Clause */
/* SHA-256 (FIPS 180-4) of two messages at once: one alone leaves half of the core's SHA unit idle, since each round
 * waits for the one before. */
#pragma once

#include "lode_delta.h"

/* Digests of both, or of the first when in[1] is NULL. Returns 0, or -EIO when OpenSSL fails. */
int sha256_pair(const struct lode_delta_input *const in[2], uint8_t *const digest[2]);
/* The machine's own instructions; call it only where they are there. */
void sha256_pair_ni(const struct lode_delta_input *const in[2], uint8_t *const digest[2]);
