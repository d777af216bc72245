/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_seal.h"

/* One AES-256-GCM message; nonces have 12 bytes. */
struct gcm {
	const uint8_t *key, *nonce, *aad;
	size_t aad_len;
};
/* len: of the plain bytes; sealed has a tag more. */
int gcm_seal(const struct gcm *g, const uint8_t *plain, size_t len, uint8_t *sealed);
int gcm_open(const struct gcm *g, const uint8_t *sealed, size_t len, uint8_t *plain);

/* All or -errno; -ENODATA at the end of the file. */
int read_all_at(int fd, void *buf, size_t len, uint64_t offset);
int read_info(int fd, struct lode_seal_info *info, struct lode_err *err);
/* The content key, by one of ours. */
int find_key(int fd, const struct lode_seal_info *info, const struct lode_seal_keys *private_keys,
	const uint8_t *wrap, uint8_t key[LODE_SEAL_KEY_BYTES], struct lode_err *err);
/* Random bytes of OpenSSL. */
int fresh(uint8_t *bytes, size_t len, struct lode_err *err);
