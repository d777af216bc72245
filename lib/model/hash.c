/* SPDX-License-Identifier: BSD-3-Clause */
#include "model.h"

#include <openssl/evp.h>
#include <stdlib.h>

static int by_name(const void *a, const void *b)
{
	const struct lode_extent *x = *(const struct lode_extent *const *)a;
	const struct lode_extent *y = *(const struct lode_extent *const *)b;
	return strcmp(x->name, y->name);
}

static bool hash_tensor(
	EVP_MD_CTX *ctx, const struct lode_package *pkg, const struct lode_extent *e)
{
	const char *dtype = lode_dtype_name(e->dtype);
	uint8_t rank = (uint8_t)e->rank;
	return EVP_DigestUpdate(ctx, e->name, strlen(e->name) + 1) == 1 &&
	       EVP_DigestUpdate(ctx, dtype, strlen(dtype) + 1) == 1 &&
	       EVP_DigestUpdate(ctx, &rank, 1) == 1 &&
	       EVP_DigestUpdate(ctx, e->dims, e->rank * sizeof(e->dims[0])) == 1 &&
	       EVP_DigestUpdate(ctx, lode_extent_data(pkg, e), e->n_bytes) == 1;
}

int hash_tensors(const struct lode_package *pkg, uint8_t sha256[LODE_SHA256_BYTES])
{
	const struct lode_extent **order = calloc(pkg->n_extents + 1, sizeof(*order));
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = order && ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
	size_t n = 0;
	for (size_t i = 0; ok && i < pkg->n_extents; i++)
		if (pkg->extents[i].name[0])
			order[n++] = &pkg->extents[i];
	if (ok)
		qsort(order, n, sizeof(*order), by_name);
	for (size_t i = 0; ok && i < n; i++)
		ok = hash_tensor(ctx, pkg, order[i]);
	ok = ok && EVP_DigestFinal_ex(ctx, sha256, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	free(order);
	return ok ? 0 : -ENOMEM;
}
