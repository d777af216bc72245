/* SPDX-License-Identifier: BSD-3-Clause */
/* Other delta tools, run as programs on files. Sizes in bytes; NAN when the tool is missing or failed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct blob {
	uint8_t *data; /* malloc'ed by blob_read */
	size_t len;
};

/* data NULL when the file cannot be read. */
struct blob blob_read(const char *path);
void blob_write(const char *path, const struct blob *b);

double peer_zstd(const char *target, const char *out);
double peer_patch_from(const char *base, const char *target, const char *out);
double peer_xdelta3(const char *base, const char *target, const char *out);
double peer_bsdiff(const char *base, const char *target, const char *out);
/* Byte for byte XOR over the common length, then zstd -3. */
double peer_xor_zstd(const struct blob *base, const struct blob *target);

struct best_peer {
	const char *name;
	double bytes;
};
/* Zero and NAN say nothing. */
void best_peer_offer(struct best_peer *best, const char *name, double bytes);
