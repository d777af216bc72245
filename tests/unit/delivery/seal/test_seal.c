/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "known.h"
#include "lode_seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEY LODE_SEAL_KEY_BYTES

static void fill(uint8_t *bytes, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((i + seed) * 2654435761u >> 11);
}

static int memory_file(const void *bytes, size_t len)
{
	int fd = memfd_create("seal", MFD_CLOEXEC);
	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	return fd;
}

static size_t content(int fd, uint8_t *buf, size_t room)
{
	ssize_t n = pread(fd, buf, room, 0);
	cr_assert_geq(n, 0);
	return (size_t)n;
}

struct key_pair {
	uint8_t priv[KEY], pub[KEY];
};

static struct key_pair pair_of(unsigned seed)
{
	struct key_pair k;
	fill(k.priv, KEY, seed);
	cr_assert_eq(lode_seal_public(k.priv, k.pub), 0);
	return k;
}

static struct lode_seal_keys ring(const uint8_t key[KEY])
{
	return (struct lode_seal_keys){1, (const uint8_t(*)[KEY])key};
}

/* Sealed bytes of seeded content; the descriptor is the caller's. */
static int seal(size_t n_bytes, unsigned seed, const uint8_t public_key[KEY])
{
	uint8_t *plain = malloc(n_bytes + 1);
	struct lode_err err = {0};
	struct lode_seal_keys readers = ring(public_key);
	fill(plain, n_bytes, seed);
	int in = memory_file(plain, n_bytes), out = memfd_create("sealed", MFD_CLOEXEC);
	cr_assert_eq(
		lode_seal_file(in, &(struct lode_seal_sink){lode_seal_to_fd, &out}, &readers, &err),
		0, "%s", err.msg);
	close(in);
	free(plain);
	return out;
}

/* 0 and the plain bytes in a new descriptor, or why not. */
static int open_all(int fd, const uint8_t private_key[KEY], int *out)
{
	struct lode_seal_reader *r;
	struct lode_err err = {0};
	struct lode_seal_keys keys = ring(private_key);
	int rc = lode_seal_reader_open(dup(fd), &keys, NULL, &r, &err);
	if (rc)
		return rc;
	*out = memfd_create("plain", MFD_CLOEXEC);
	rc = lode_seal_open_file(r, *out, &err);
	lode_seal_reader_close(r);
	if (rc)
		close(*out);
	return rc;
}

Test(seal, every_length_comes_back)
{
	static const size_t lengths[] = {0, 1, 65535, 65536, 65537, 3 * 65536, 200001};
	struct key_pair k = pair_of(1);
	for (size_t i = 0; i < LODE_ARRAY_LEN(lengths); i++) {
		size_t n = lengths[i];
		uint8_t *want = malloc(n + 2), *got = malloc(n + 2);
		int sealed = seal(n, 7, k.pub), plain;
		fill(want, n, 7);
		cr_assert_eq(open_all(sealed, k.priv, &plain), 0);
		cr_assert_eq(content(plain, got, n + 2), n);
		cr_assert_arr_eq(got, want, n);
		close(plain);
		close(sealed);
		free(want);
		free(got);
	}
}

Test(seal, a_reader_may_start_anywhere)
{
	struct key_pair k = pair_of(1);
	struct lode_seal_keys keys = ring(k.priv);
	struct lode_seal_reader *r;
	struct lode_err err;
	uint8_t want[150000], got[150000];
	struct lode_rng rng;
	fill(want, sizeof(want), 3);
	cr_assert_eq(lode_seal_reader_open(seal(sizeof(want), 3, k.pub), &keys, NULL, &r, &err), 0);
	cr_assert_eq(lode_seal_reader_size(r), sizeof(want));
	lode_rng_seed(&rng, 1);
	for (int i = 0; i < 200; i++) {
		size_t at = lode_rng_below(&rng, sizeof(want) + 10);
		size_t len = lode_rng_below(&rng, 70000);
		size_t expect = at < sizeof(want) ? LODE_MIN(len, sizeof(want) - at) : 0;
		cr_assert_eq(lode_seal_read_at(r, at, got, len, &err), (int64_t)expect);
		cr_assert_arr_eq(got, want + LODE_MIN(at, sizeof(want)), expect);
	}
	lode_seal_reader_close(r);
}

/* Made with another implementation (Python's cryptography): head, one wrapped key, one chunk. */
Test(seal, a_known_file_is_made_bit_for_bit)
{

	struct lode_seal_info info = {
		.chunk_bytes = 4096, .n_wraps = 1, .plain_bytes = sizeof(known_plain) - 1};
	struct lode_err err = {0};
	uint8_t key[KEY], ephemeral[KEY], made[sizeof(known_file)], opened[KEY];
	uint8_t plain[sizeof(known_plain)];
	struct key_pair reader = pair_of(1);
	for (unsigned i = 0; i < KEY; i++) {
		key[i] = (uint8_t)(i + 64);
		ephemeral[i] = (uint8_t)(i + 128);
	}
	for (unsigned i = 0; i < sizeof(info.id); i++)
		info.id[i] = (uint8_t)(i + 32);
	for (unsigned i = 0; i < KEY; i++)
		reader.priv[i] = (uint8_t)(i + 1);
	cr_assert_eq(lode_seal_public(reader.priv, reader.pub), 0);
	cr_assert_eq(lode_seal_complete(&info, &err), 0);
	cr_assert_eq(info.sealed_bytes, sizeof(known_file));
	lode_seal_write_head(&info, made);
	cr_assert_eq(lode_seal_wrap(info.id, key, reader.pub, ephemeral,
			     made + LODE_SEAL_HEAD_BYTES, &err),
		0);
	cr_assert_eq(
		lode_seal_chunk(&info, key, 0, (const uint8_t *)known_plain, made + info.body_at),
		0);
	cr_assert_arr_eq(made, known_file, sizeof(known_file));
	cr_assert_eq(lode_seal_unwrap(
			     info.id, known_file + LODE_SEAL_HEAD_BYTES, reader.priv, opened, &err),
		0);
	cr_assert_arr_eq(opened, key, KEY);
	cr_assert_eq(lode_seal_open_chunk(&info, opened, 0, known_file + info.body_at, plain), 0);
	cr_assert_arr_eq(plain, known_plain, sizeof(known_plain) - 1);
}

Test(seal, any_changed_byte_shows)
{
	struct key_pair k = pair_of(1);
	uint8_t bytes[400], byte;
	int sealed = seal(100, 5, k.pub), plain;
	size_t n = content(sealed, bytes, sizeof(bytes));
	cr_assert_eq(n, LODE_SEAL_HEAD_BYTES + LODE_SEAL_WRAP_BYTES + 100 + LODE_SEAL_TAG_BYTES);
	for (size_t i = 0; i < n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			byte = bytes[i] ^ (uint8_t)(1u << bit);
			cr_assert_eq(pwrite(sealed, &byte, 1, (off_t)i), 1);
			cr_assert_lt(
				open_all(sealed, k.priv, &plain), 0, "byte %zu bit %u", i, bit);
			cr_assert_eq(pwrite(sealed, &bytes[i], 1, (off_t)i), 1);
		}
	cr_assert_eq(open_all(sealed, k.priv, &plain), 0);
}

/* A head that claims fewer chunks, with the file cut to fit. */
Test(seal, a_file_cut_at_a_chunk_shows)
{
	struct key_pair k = pair_of(1);
	uint64_t two = 2 * 65536;
	int sealed = seal(3 * 65536, 5, k.pub), plain;
	size_t chunk = 65536 + LODE_SEAL_TAG_BYTES;
	cr_assert_eq(
		ftruncate(sealed, (off_t)(LODE_SEAL_HEAD_BYTES + LODE_SEAL_WRAP_BYTES + 2 * chunk)),
		0);
	cr_assert_eq(open_all(sealed, k.priv, &plain), -EBADMSG);
	cr_assert_eq(pwrite(sealed, &two, 8, 16), 8);
	cr_assert_eq(open_all(sealed, k.priv, &plain), -EBADMSG);
}

Test(seal, chunks_out_of_place_show)
{
	struct key_pair k = pair_of(1);
	struct lode_err err;
	size_t n_bytes = 3 * 65536, chunk = 65536 + LODE_SEAL_TAG_BYTES;
	off_t body = LODE_SEAL_HEAD_BYTES + LODE_SEAL_WRAP_BYTES;
	uint8_t *a = malloc(chunk), *b = malloc(chunk);
	int sealed = seal(n_bytes, 5, k.pub), other = seal(n_bytes, 5, k.pub), plain;
	cr_assert_eq(pread(sealed, a, chunk, body), (ssize_t)chunk);
	cr_assert_eq(pread(sealed, b, chunk, body + (off_t)chunk), (ssize_t)chunk);
	cr_assert_eq(pwrite(sealed, b, chunk, body), (ssize_t)chunk);
	cr_assert_eq(open_all(sealed, k.priv, &plain), -EBADMSG, "repeated");
	cr_assert_eq(pwrite(sealed, a, chunk, body + (off_t)chunk), (ssize_t)chunk);
	cr_assert_eq(open_all(sealed, k.priv, &plain), -EBADMSG, "swapped");
	cr_assert_eq(pread(other, b, chunk, body), (ssize_t)chunk);
	cr_assert_eq(pwrite(sealed, b, chunk, body), (ssize_t)chunk);
	cr_assert_eq(open_all(sealed, k.priv, &plain), -EBADMSG, "of another file");
	/* A reader that never touches the bad chunks reads on. */
	struct lode_seal_reader *r;
	struct lode_seal_keys keys = ring(k.priv);
	cr_assert_eq(lode_seal_reader_open(sealed, &keys, NULL, &r, &err), 0);
	cr_assert_eq(lode_seal_read_at(r, 2 * 65536, a, 100, &err), 100);
	cr_assert_eq(lode_seal_read_at(r, 10, a, 100, &err), -EBADMSG);
	lode_seal_reader_close(r);
	free(a);
	free(b);
}

Test(seal, only_its_readers_open_it)
{
	struct key_pair a = pair_of(1), b = pair_of(2), c = pair_of(3);
	struct lode_seal_keys ours = ring(a.priv), theirs = ring(b.priv);
	struct lode_seal_reader *r;
	struct lode_err err;
	uint8_t wrap[LODE_SEAL_WRAP_BYTES];
	char name[LODE_SEAL_KEY_NAME_LEN], want[LODE_SEAL_KEY_NAME_LEN];
	int sealed = seal(1000, 5, a.pub), plain;
	cr_assert_eq(open_all(sealed, b.priv, &plain), -ENOKEY);
	/* Wrapped for b beside the file: b opens it, c does not. */
	cr_assert_eq(lode_seal_reader_open(dup(sealed), &ours, NULL, &r, &err), 0);
	cr_assert_eq(lode_seal_reader_wrap(r, b.pub, wrap, &err), 0);
	lode_seal_reader_close(r);
	lode_seal_wrap_name(wrap, name);
	lode_seal_key_name(b.pub, want);
	cr_assert_str_eq(name, want);
	cr_assert_eq(lode_seal_reader_open(dup(sealed), &theirs, wrap, &r, &err), 0);
	lode_seal_reader_close(r);
	theirs = ring(c.priv);
	cr_assert_eq(lode_seal_reader_open(dup(sealed), &theirs, wrap, &r, &err), -ENOKEY);
	/* A wrapped key of another file is no use. */
	int other = seal(1000, 5, a.pub);
	theirs = ring(b.priv);
	cr_assert_eq(lode_seal_reader_open(dup(other), &theirs, wrap, &r, &err), -EBADMSG);
}

/* Rotation: the new key opens the same chunks, the old one no more. */
Test(seal, a_new_key_takes_over)
{
	struct key_pair old = pair_of(1), new = pair_of(2);
	struct lode_seal_keys from = ring(old.priv), to = ring(new.pub);
	struct lode_err err = {0};
	uint8_t before[300], after[300];
	int sealed = seal(100, 5, old.pub), turned = memfd_create("turned", MFD_CLOEXEC), plain;
	cr_assert_eq(lode_seal_rewrap(sealed, &(struct lode_seal_sink){lode_seal_to_fd, &turned},
			     &from, &to, &err),
		0, "%s", err.msg);
	size_t n = content(sealed, before, sizeof(before));
	cr_assert_eq(content(turned, after, sizeof(after)), n);
	size_t body = LODE_SEAL_HEAD_BYTES + LODE_SEAL_WRAP_BYTES;
	cr_assert_arr_eq(before + body, after + body, n - body);
	cr_assert_eq(open_all(turned, old.priv, &plain), -ENOKEY);
	cr_assert_eq(open_all(turned, new.priv, &plain), 0);
	to = ring(old.priv);
	cr_assert_eq(lode_seal_rewrap(turned, &(struct lode_seal_sink){lode_seal_to_fd, &sealed},
			     &to, &to, &err),
		-ENOKEY);
}

Test(seal, keys_that_are_none_are_refused)
{
	uint8_t zero[KEY] = {0}, wrap[LODE_SEAL_WRAP_BYTES], id[LODE_SEAL_ID_BYTES] = {0};
	struct key_pair k = pair_of(1);
	struct lode_err err;
	cr_assert_lt(lode_seal_wrap(id, k.priv, zero, k.priv, wrap, &err), 0);
}
