/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole files, one chunk in memory at a time. */
#include "seal.h"

#include "lode_file.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int read_all_at(int fd, void *buf, size_t len, uint64_t offset)
{
	uint8_t *p = buf;
	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int lode_seal_to_fd(void *ctx, const void *bytes, size_t len)
{
	return lode_file_write_all(*(int *)ctx, bytes, len);
}

static int put(const struct lode_seal_sink *out, const void *bytes, size_t len)
{
	return out->write(out->ctx, bytes, len);
}

static int file_size(int fd, uint64_t *n_bytes)
{
	struct stat st;
	if (fstat(fd, &st))
		return -errno;
	*n_bytes = (uint64_t)st.st_size;
	return 0;
}

/* A head with one wrapped key for each reader. */
static int write_readers(const struct lode_seal_sink *out, const struct lode_seal_info *info,
	const uint8_t key[LODE_SEAL_KEY_BYTES], const struct lode_seal_keys *readers,
	struct lode_err *err)
{
	uint8_t head[LODE_SEAL_HEAD_BYTES], wrap[LODE_SEAL_WRAP_BYTES];
	uint8_t ephemeral[LODE_SEAL_KEY_BYTES];
	lode_seal_write_head(info, head);
	int rc = put(out, head, sizeof(head));
	for (unsigned i = 0; !rc && i < readers->n; i++) {
		rc = fresh(ephemeral, sizeof(ephemeral), err);
		if (!rc)
			rc = lode_seal_wrap(info->id, key, readers->key[i], ephemeral, wrap, err);
		if (rc)
			break;
		rc = put(out, wrap, sizeof(wrap));
	}
	OPENSSL_cleanse(ephemeral, sizeof(ephemeral));
	return rc;
}

static int seal_chunks(int in, const struct lode_seal_sink *out, const struct lode_seal_info *info,
	const uint8_t *key)
{
	uint8_t *plain = malloc(info->chunk_bytes);
	uint8_t *sealed = malloc(info->chunk_bytes + LODE_SEAL_TAG_BYTES);
	int rc = plain && sealed ? 0 : -ENOMEM;
	for (uint64_t i = 0; !rc && i < info->n_chunks; i++) {
		size_t len = lode_seal_chunk_len(info, i);
		rc = read_all_at(in, plain, len, i * info->chunk_bytes);
		if (!rc)
			rc = lode_seal_chunk(info, key, i, plain, sealed);
		if (!rc)
			rc = put(out, sealed, len + LODE_SEAL_TAG_BYTES);
	}
	free(plain);
	free(sealed);
	return rc;
}

int lode_seal_file(int in, const struct lode_seal_sink *out, const struct lode_seal_keys *readers,
	struct lode_err *err)
{
	struct lode_seal_info info = {.chunk_bytes = LODE_SEAL_CHUNK_USUAL, .n_wraps = readers->n};
	uint8_t key[LODE_SEAL_KEY_BYTES];
	struct lode_err why = {0};
	int rc = file_size(in, &info.plain_bytes);
	if (!rc)
		rc = lode_seal_complete(&info, &why);
	if (!rc)
		rc = fresh(key, sizeof(key), &why);
	if (!rc)
		rc = fresh(info.id, sizeof(info.id), &why);
	if (!rc)
		rc = write_readers(out, &info, key, readers, &why);
	if (!rc)
		rc = seal_chunks(in, out, &info, key);
	OPENSSL_cleanse(key, sizeof(key));
	return rc ? lode_err_set(err, rc, "sealing: %s", *why.msg ? why.msg : strerror(-rc)) : 0;
}

int read_info(int fd, struct lode_seal_info *info, struct lode_err *err)
{
	uint8_t head[LODE_SEAL_HEAD_BYTES];
	uint64_t n_bytes = 0;
	int rc = read_all_at(fd, head, sizeof(head), 0);
	rc = lode_seal_parse(head, rc ? 0 : sizeof(head), info, err);
	if (rc)
		return rc;
	rc = file_size(fd, &n_bytes);
	if (!rc && n_bytes != info->sealed_bytes)
		rc = lode_err_set(err, -EBADMSG,
			"the sealed file has %llu bytes, its head says %llu",
			(unsigned long long)n_bytes, (unsigned long long)info->sealed_bytes);
	return rc;
}

int lode_seal_read_wraps(int in, uint8_t wraps[LODE_SEAL_WRAPS_MAX * LODE_SEAL_WRAP_BYTES],
	unsigned *n, struct lode_err *err)
{
	struct lode_seal_info info;
	int rc = read_info(in, &info, err);
	if (!rc)
		rc = read_all_at(in, wraps, (size_t)info.n_wraps * LODE_SEAL_WRAP_BYTES,
			LODE_SEAL_HEAD_BYTES);
	*n = rc ? 0 : info.n_wraps;
	return rc;
}

int find_key(int fd, const struct lode_seal_info *info, const struct lode_seal_keys *private_keys,
	const uint8_t *wrap, uint8_t key[LODE_SEAL_KEY_BYTES], struct lode_err *err)
{
	uint8_t wraps[(LODE_SEAL_WRAPS_MAX + 1) * LODE_SEAL_WRAP_BYTES];
	unsigned n = 0;
	int rc = lode_seal_read_wraps(fd, wraps, &n, err);
	if (rc)
		return rc;
	if (wrap)
		memcpy(wraps + n * LODE_SEAL_WRAP_BYTES, wrap, LODE_SEAL_WRAP_BYTES);
	n += wrap != NULL;
	rc = lode_err_set(err, -ENOKEY, "the file is sealed for %u keys, none is ours", n);
	for (unsigned i = 0; rc == -ENOKEY && i < n; i++)
		for (unsigned k = 0; rc == -ENOKEY && k < private_keys->n; k++) {
			struct lode_err why;
			int one = lode_seal_unwrap(info->id, wraps + i * LODE_SEAL_WRAP_BYTES,
				private_keys->key[k], key, &why);
			if (one != -ENOKEY)
				rc = one ? lode_err_set(err, one, "%s", why.msg) : 0;
		}
	return rc;
}

int lode_seal_rewrap(int in, const struct lode_seal_sink *out,
	const struct lode_seal_keys *private_keys, const struct lode_seal_keys *readers,
	struct lode_err *err)
{
	struct lode_seal_info info;
	uint8_t key[LODE_SEAL_KEY_BYTES], *buf = malloc(LODE_SEAL_CHUNK_USUAL);
	int rc = buf ? read_info(in, &info, err) : -ENOMEM;
	if (!rc)
		rc = find_key(in, &info, private_keys, NULL, key, err);
	uint64_t at = info.body_at, end = info.sealed_bytes;
	info.n_wraps = readers->n;
	if (!rc)
		rc = lode_seal_complete(&info, err);
	if (!rc)
		rc = write_readers(out, &info, key, readers, err);
	while (!rc && at < end) {
		size_t len = LODE_MIN(end - at, (uint64_t)LODE_SEAL_CHUNK_USUAL);
		rc = read_all_at(in, buf, len, at);
		if (!rc)
			rc = put(out, buf, len);
		at += len;
	}
	OPENSSL_cleanse(key, sizeof(key));
	free(buf);
	return rc;
}
