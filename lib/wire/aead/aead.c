/* SPDX-License-Identifier: BSD-3-Clause */
#include "backend.h"

#include <openssl/crypto.h>
#include <stdlib.h>

static const struct backend *const backends[] = {
	&backend_ipsec_mb,
	&backend_openssl,
	&backend_null,
};

static struct lode_aead *start(const struct backend *backend, struct lode_err *err)
{
	struct lode_aead *a = calloc(1, sizeof(*a));
	if (!a) {
		lode_err_set(err, -ENOMEM, "aead %s: no memory", backend->name);
		return NULL;
	}
	a->backend = backend;
	if (backend->start(a, err)) {
		free(a);
		return NULL;
	}
	return a;
}

struct lode_aead *lode_aead_new(const char *name, struct lode_err *err)
{
	if (!strcmp(name, "auto")) {
		struct lode_aead *a = start(&backend_ipsec_mb, err);
		return a ? a : start(&backend_openssl, err);
	}
	for (size_t i = 0; i < LODE_ARRAY_LEN(backends); i++)
		if (!strcmp(name, backends[i]->name))
			return start(backends[i], err);
	lode_err_set(
		err, -EINVAL, "aead: auto, ipsec-mb, openssl or null allowed, found \"%s\"", name);
	return NULL;
}

void lode_aead_free(struct lode_aead *a)
{
	if (!a)
		return;
	a->backend->stop(a);
	free(a);
}

const char *lode_aead_name(const struct lode_aead *a)
{
	return a->backend->name;
}

struct lode_aead_key *lode_aead_key_new(
	const struct lode_aead *a, const uint8_t key[LODE_AEAD_KEY_BYTES], uint32_t salt)
{
	size_t alignment = LODE_MAX(_Alignof(struct lode_aead_key), LODE_CACHE_LINE);
	size_t bytes = (sizeof(struct lode_aead_key) + alignment - 1) / alignment * alignment;
	struct lode_aead_key *k = aligned_alloc(alignment, bytes);
	if (!k)
		return NULL;
	memset(k, 0, sizeof(*k));
	k->aead = a;
	k->salt = salt;
	if (a->backend->key_init(k, key)) {
		lode_aead_key_free(k);
		return NULL;
	}
	return k;
}

void lode_aead_key_free(struct lode_aead_key *key)
{
	if (!key)
		return;
	if (key->aead->backend->key_fini)
		key->aead->backend->key_fini(key);
	OPENSSL_cleanse(key, sizeof(*key));
	free(key);
}

void lode_aead_seal_burst(
	const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n)
{
	key->aead->backend->seal(key, ops, n);
}

uint64_t lode_aead_open_burst(
	const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n)
{
	return key->aead->backend->open(key, ops, n);
}
