/* SPDX-License-Identifier: BSD-3-Clause */
/* A hostile sealed file: opened with a key that it may really be for. */
#include "lode_seal.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads all that it claims to have, up to a limit. */
static void read_through(struct lode_seal_reader *r)
{
	enum { STEP = 10000, STEPS = 100 };
	uint8_t buf[STEP];
	struct lode_err err;
	uint64_t at = 0;
	for (unsigned i = 0; i < STEPS; i++) {
		int64_t n = lode_seal_read_at(r, at, buf, sizeof(buf), &err);
		if (n > (int64_t)sizeof(buf) ||
			(n > 0 && at + (uint64_t)n > lode_seal_reader_size(r)))
			abort();
		if (n <= 0)
			break;
		at += (uint64_t)n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t key[LODE_SEAL_KEY_BYTES];
	struct lode_seal_keys keys = {1, (const uint8_t(*)[LODE_SEAL_KEY_BYTES])key};
	struct lode_seal_reader *r;
	struct lode_err err = {0};
	const uint8_t *wrap = NULL;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i + 1);
	if (size > LODE_SEAL_WRAP_BYTES && data[0] & 1)
		wrap = data + 1;
	if (size)
		data++, size--;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	int rc = lode_seal_reader_open(fd, &keys, wrap, &r, &err);
	if (rc && !*err.msg)
		abort();
	if (!rc) {
		read_through(r);
		lode_seal_reader_close(r);
	}
	return 0;
}
