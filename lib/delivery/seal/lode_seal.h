/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/seal: model files that only those can read whom they are for. AES-256-GCM in chunks, each of which opens
 * alone: a reader may start anywhere. A chunk that was changed, moved, repeated, cut off or taken from
 * another file is refused. The content key is wrapped for each reader's X25519 key, in the file's head or
 * beside it: the sealed chunks are the same bytes for all, so a cache may hold them. After STREAM (Hoang,
 * Reyhanitabar, Rogaway, Vizar 2015) and HPKE's way of wrapping (RFC 9180 5.1.1).
 *
 * No state, any thread; a reader belongs to one thread. Randomness comes from the caller, except in
 * lode_seal_file. Actions return 0 or -errno: -EBADMSG for bytes that are not what was sealed, -ENOKEY when
 * none of the keys opens the file. */
#pragma once

#include "lode_base.h"

#define LODE_SEAL_KEY_BYTES    32 /* content keys, X25519 keys */
#define LODE_SEAL_ID_BYTES     16
#define LODE_SEAL_HEAD_BYTES   40 /* before the wrapped keys */
#define LODE_SEAL_WRAP_BYTES   88
#define LODE_SEAL_TAG_BYTES    16
#define LODE_SEAL_WRAPS_MAX    64
#define LODE_SEAL_CHUNK_MIN    4096u
#define LODE_SEAL_CHUNK_MAX    (1u << 20)
#define LODE_SEAL_CHUNK_USUAL  (1u << 16)
#define LODE_SEAL_KEY_NAME_LEN 17 /* 16 hex digits and the NUL */

/* What the head says. */
struct lode_seal_info {
	uint32_t chunk_bytes; /* of plain bytes; a power of two; the last chunk may be shorter */
	uint32_t n_wraps;
	uint64_t plain_bytes;
	uint8_t id[LODE_SEAL_ID_BYTES]; /* random, of this sealing */
	/* Follows from these: */
	uint64_t n_chunks;     /* at least one, of an empty file an empty one */
	uint64_t body_at;      /* offset of the first sealed chunk */
	uint64_t sealed_bytes; /* of the whole file */
};

/* Does a file begin like a sealed one? */
bool lode_seal_is(const uint8_t *bytes, size_t len);
/* Reads LODE_SEAL_HEAD_BYTES. */
int lode_seal_parse(
	const uint8_t *bytes, size_t len, struct lode_seal_info *info, struct lode_err *err);
/* Fills what follows from the first four fields; -EINVAL when they are out of range. */
int lode_seal_complete(struct lode_seal_info *info, struct lode_err *err);
void lode_seal_write_head(const struct lode_seal_info *info, uint8_t head[LODE_SEAL_HEAD_BYTES]);

/* ---- chunks ---- */

/* Plain bytes of a chunk: chunk_bytes, of the last one what is left. */
size_t lode_seal_chunk_len(const struct lode_seal_info *info, uint64_t idx);
/* sealed: LODE_SEAL_TAG_BYTES longer than plain. */
int lode_seal_chunk(const struct lode_seal_info *info, const uint8_t key[LODE_SEAL_KEY_BYTES],
	uint64_t idx, const uint8_t *plain, uint8_t *sealed);
int lode_seal_open_chunk(const struct lode_seal_info *info, const uint8_t key[LODE_SEAL_KEY_BYTES],
	uint64_t idx, const uint8_t *sealed, uint8_t *plain);

/* ---- keys ---- */

int lode_seal_public(
	const uint8_t private_key[LODE_SEAL_KEY_BYTES], uint8_t public_key[LODE_SEAL_KEY_BYTES]);
/* A key's id: the first 8 bytes of the SHA-256 of its public half, in hex. */
void lode_seal_key_name(
	const uint8_t public_key[LODE_SEAL_KEY_BYTES], char name[LODE_SEAL_KEY_NAME_LEN]);
/* The key id a wrapped key is for. */
void lode_seal_wrap_name(
	const uint8_t wrap[LODE_SEAL_WRAP_BYTES], char name[LODE_SEAL_KEY_NAME_LEN]);
/* ephemeral: a fresh random X25519 private key, used once. id: of the sealing. */
int lode_seal_wrap(const uint8_t id[LODE_SEAL_ID_BYTES], const uint8_t key[LODE_SEAL_KEY_BYTES],
	const uint8_t reader_public[LODE_SEAL_KEY_BYTES],
	const uint8_t ephemeral[LODE_SEAL_KEY_BYTES], uint8_t wrap[LODE_SEAL_WRAP_BYTES],
	struct lode_err *err);
/* -ENOKEY: wrapped for another key; -EBADMSG: for ours, but changed or of another file. */
int lode_seal_unwrap(const uint8_t id[LODE_SEAL_ID_BYTES], const uint8_t wrap[LODE_SEAL_WRAP_BYTES],
	const uint8_t private_key[LODE_SEAL_KEY_BYTES], uint8_t key[LODE_SEAL_KEY_BYTES],
	struct lode_err *err);

/* ---- files ---- */

/* A ring of X25519 keys; the first is the newest. */
struct lode_seal_keys {
	unsigned n;
	const uint8_t (*key)[LODE_SEAL_KEY_BYTES];
};

/* Takes what is made, in order; not 0 ends it. */
struct lode_seal_sink {
	int (*write)(void *ctx, const void *bytes, size_t len);
	void *ctx;
};
/* Into a descriptor: `ctx` points at it. */
int lode_seal_to_fd(void *ctx, const void *bytes, size_t len);

/* Seals all that `in` has from its start, for these public keys. New random key and id. */
int lode_seal_file(int in, const struct lode_seal_sink *out, const struct lode_seal_keys *readers,
	struct lode_err *err);
/* The same sealed chunks under a head for other readers, with one of our private keys: after a new key, no chunk
 * is sealed again. */
int lode_seal_rewrap(int in, const struct lode_seal_sink *out,
	const struct lode_seal_keys *private_keys, const struct lode_seal_keys *readers,
	struct lode_err *err);
/* The wrapped keys of a file, LODE_SEAL_WRAP_BYTES each, written one after the other; *n how many. */
int lode_seal_read_wraps(int in, uint8_t wraps[LODE_SEAL_WRAPS_MAX * LODE_SEAL_WRAP_BYTES],
	unsigned *n, struct lode_err *err);

struct lode_seal_reader;

/* Opens a sealed file for reading anywhere. private_keys may open it by a wrapped key of the head, or by
 * `wrap` (NULL: none) that came beside it. Takes over fd, also when it fails. */
int lode_seal_reader_open(int fd, const struct lode_seal_keys *private_keys, const uint8_t *wrap,
	struct lode_seal_reader **out, struct lode_err *err);
uint64_t lode_seal_reader_size(const struct lode_seal_reader *r); /* plain bytes */
/* The content key wrapped for another reader, to be sent beside the file. */
int lode_seal_reader_wrap(const struct lode_seal_reader *r,
	const uint8_t reader_public[LODE_SEAL_KEY_BYTES], uint8_t wrap[LODE_SEAL_WRAP_BYTES],
	struct lode_err *err);
/* Plain bytes from offset; how many, 0 at the end, or -errno. */
int64_t lode_seal_read_at(
	struct lode_seal_reader *r, uint64_t offset, void *buf, size_t len, struct lode_err *err);
/* All plain bytes to out at its position. A file that is longer or shorter than its head says is refused. */
int lode_seal_open_file(struct lode_seal_reader *r, int out, struct lode_err *err);
void lode_seal_reader_close(struct lode_seal_reader *r);
