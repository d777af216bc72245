/* SPDX-License-Identifier: BSD-3-Clause */
/* One block body: the interpreter and the plain decoder take the same bodies and make the same bytes.
 * First two bytes: target bytes of the block. */
#include "block.h"
#include "delta_fuzz.h"
#include "plain_decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_base(void *ctx, uint64_t offset, void *buf, size_t len)
{
	if (offset > FUZZ_BASE_BYTES || len > FUZZ_BASE_BYTES - offset)
		abort();
	memcpy(buf, (const uint8_t *)ctx + offset, len);
	return 0;
}

/* zstd 1.5.4 makes of some damaged frames what its context decoded before. The block's CRC32C, which is not
 * looked at here, tells such bytes from right ones. */
static bool zstd_inside(const uint8_t *body, size_t len)
{
	static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd};
	return memmem(body, len, magic, sizeof(magic));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t base[FUZZ_BASE_BYTES];
	static struct block_decoder d; /* its buffers are large */
	struct buf patch = {0}, plain = {0};
	if (size < 3)
		return 0;
	uint32_t len = 1 + (data[0] | (uint32_t)data[1] << 8);
	size_t body_len = size - 2;
	if (body_len > len + BODY_SLACK)
		return 0;
	fuzz_base(base);
	fuzz_header(base, len, &patch);
	put_u8(&patch, RECORD_BLOCK);
	put_varint(&patch, len);
	put_varint(&patch, body_len);
	put_le32(&patch, 0);
	size_t body_at = patch.len;
	put_bytes(&patch, data + 2, body_len);
	put_u8(&patch, RECORD_END);
	size_t patch_len = patch.len;
	for (unsigned i = 0; i < READ_PAD; i++)
		put_u8(&patch, 0);
	if (!d.window && block_decoder_init(&d, read_base, NULL, FUZZ_BASE_BYTES))
		return 0;
	d.read_ctx = base;
	uint8_t *body = calloc(1, body_len + READ_PAD);
	memcpy(body, patch.data + body_at, body_len);
	int rc = block_decode(&d, (struct view){body, body + body_len}, 0, len);
	int plain_rc = plain_apply(patch.data, patch_len, base, FUZZ_BASE_BYTES, &plain);
	if (!zstd_inside(body, body_len) &&
		(!rc != !plain_rc || (!rc && memcmp(d.target, plain.data, len))))
		abort();
	free(body);
	buf_free(&patch);
	buf_free(&plain);
	return 0;
}
