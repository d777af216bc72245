/* SPDX-License-Identifier: BSD-3-Clause */
/* Files with the private keys that sealed models are for, as `lodectl key generate` makes them. */
#pragma once

#include "lode_seal.h"

#define SEAL_KEYS_MAX 8

struct seal_keys {
	struct lode_seal_keys ring;
	uint8_t key[SEAL_KEYS_MAX][LODE_SEAL_KEY_BYTES];
};

/* paths: with spaces between, the newest first; "": none. */
int seal_keys_load(struct seal_keys *k, const char *paths, struct lode_err *err);
/* An appliance's own key; made when the file is not there. */
int seal_key_own(struct seal_keys *k, const char *path, struct lode_err *err);
