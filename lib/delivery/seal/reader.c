/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading anywhere: the chunk last opened is kept. */
#include "seal.h"

#include "lode_file.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

struct lode_seal_reader {
	int fd;
	struct lode_seal_info info;
	uint8_t key[LODE_SEAL_KEY_BYTES];
	uint64_t chunk_idx; /* in plain; UINT64_MAX: none yet */
	uint8_t *plain, *sealed;
};

int lode_seal_reader_open(int fd, const struct lode_seal_keys *private_keys, const uint8_t *wrap,
	struct lode_seal_reader **out, struct lode_err *err)
{
	struct lode_seal_reader *r = calloc(1, sizeof(*r));
	if (!r) {
		close(fd);
		return lode_err_set(err, -ENOMEM, "no memory for a sealed file");
	}
	r->fd = fd;
	r->chunk_idx = UINT64_MAX;
	int rc = read_info(fd, &r->info, err);
	if (!rc)
		rc = find_key(fd, &r->info, private_keys, wrap, r->key, err);
	if (!rc) {
		r->plain = malloc(r->info.chunk_bytes);
		r->sealed = malloc(r->info.chunk_bytes + LODE_SEAL_TAG_BYTES);
		if (!r->plain || !r->sealed)
			rc = lode_err_set(err, -ENOMEM, "no memory for a sealed file");
	}
	if (rc) {
		lode_seal_reader_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

void lode_seal_reader_close(struct lode_seal_reader *r)
{
	if (!r)
		return;
	close(r->fd);
	OPENSSL_cleanse(r->key, sizeof(r->key));
	if (r->plain)
		OPENSSL_cleanse(r->plain, r->info.chunk_bytes);
	free(r->plain);
	free(r->sealed);
	free(r);
}

uint64_t lode_seal_reader_size(const struct lode_seal_reader *r)
{
	return r->info.plain_bytes;
}

int lode_seal_reader_wrap(const struct lode_seal_reader *r,
	const uint8_t reader_public[LODE_SEAL_KEY_BYTES], uint8_t wrap[LODE_SEAL_WRAP_BYTES],
	struct lode_err *err)
{
	uint8_t ephemeral[LODE_SEAL_KEY_BYTES];
	int rc = fresh(ephemeral, sizeof(ephemeral), err);
	if (!rc)
		rc = lode_seal_wrap(r->info.id, r->key, reader_public, ephemeral, wrap, err);
	OPENSSL_cleanse(ephemeral, sizeof(ephemeral));
	return rc;
}

static int load_chunk(struct lode_seal_reader *r, uint64_t idx, struct lode_err *err)
{
	const struct lode_seal_info *info = &r->info;
	if (idx == r->chunk_idx)
		return 0;
	r->chunk_idx = UINT64_MAX;
	int rc = read_all_at(r->fd, r->sealed, lode_seal_chunk_len(info, idx) + LODE_SEAL_TAG_BYTES,
		info->body_at + idx * ((uint64_t)info->chunk_bytes + LODE_SEAL_TAG_BYTES));
	if (!rc)
		rc = lode_seal_open_chunk(info, r->key, idx, r->sealed, r->plain);
	if (rc)
		return lode_err_set(err, rc, "chunk %llu of the sealed file: %s",
			(unsigned long long)idx,
			rc == -EBADMSG ? "changed, moved or of another file" : strerror(-rc));
	r->chunk_idx = idx;
	return 0;
}

int64_t lode_seal_read_at(
	struct lode_seal_reader *r, uint64_t offset, void *buf, size_t len, struct lode_err *err)
{
	const struct lode_seal_info *info = &r->info;
	size_t done = 0;
	while (done < len && offset < info->plain_bytes) {
		uint64_t idx = offset / info->chunk_bytes;
		size_t at = offset % info->chunk_bytes;
		int rc = load_chunk(r, idx, err);
		if (rc)
			return rc;
		size_t n = LODE_MIN(len - done, lode_seal_chunk_len(info, idx) - at);
		memcpy((uint8_t *)buf + done, r->plain + at, n);
		done += n;
		offset += n;
	}
	return (int64_t)done;
}

int lode_seal_open_file(struct lode_seal_reader *r, int out, struct lode_err *err)
{
	int rc = 0;
	for (uint64_t i = 0; !rc && i < r->info.n_chunks; i++) {
		rc = load_chunk(r, i, err);
		if (rc)
			return rc;
		rc = lode_file_write_all(out, r->plain, lode_seal_chunk_len(&r->info, i));
	}
	return rc ? lode_err_set(err, rc, "opening a sealed file: %s", strerror(-rc)) : 0;
}
