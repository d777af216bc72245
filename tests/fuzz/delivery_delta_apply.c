/* SPDX-License-Identifier: BSD-3-Clause */
/* Records under a right header: whatever they say, the interpreter stays inside its files. First two
 * bytes: size of the target. */
#include "delta_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct io {
	const uint8_t *base;
	struct buf patch;
	size_t at;
	uint64_t target_bytes;
};

static long read_patch(void *ctx, void *buf, size_t len)
{
	struct io *io = ctx;
	size_t n = LODE_MIN(len, io->patch.len - io->at);
	memcpy(buf, io->patch.data + io->at, n);
	io->at += n;
	return (long)n;
}

static int read_base(void *ctx, unsigned file, uint64_t offset, void *buf, size_t len)
{
	struct io *io = ctx;
	if (file || offset > FUZZ_BASE_BYTES || len > FUZZ_BASE_BYTES - offset)
		abort();
	memcpy(buf, io->base + offset, len);
	return 0;
}

static int write_target(void *ctx, unsigned file, uint64_t offset, const void *buf, size_t len)
{
	struct io *io = ctx;
	if (file || offset > io->target_bytes || len > io->target_bytes - offset)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t base[FUZZ_BASE_BYTES];
	struct io io = {.base = base};
	struct lode_err err;
	if (size < 2)
		return 0;
	fuzz_base(base);
	io.target_bytes = 1 + (data[0] | (uint64_t)data[1] << 8) * 8;
	fuzz_header(base, io.target_bytes, &io.patch);
	put_bytes(&io.patch, data + 2, size - 2);
	const struct lode_delta_io calls = {.ctx = &io,
		.read_patch = read_patch,
		.read_base = read_base,
		.write_target = write_target};
	lode_delta_apply(&calls, NULL, NULL, &err);
	buf_free(&io.patch);
	return 0;
}
