/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/delta: patches between versions of model files. It owns the patch format
 * (docs/delta-format.md), its encoder and its interpreter. Any thread may call; an object belongs to
 * one thread. Sizes and offsets are bytes. Only the encoder parses models: the interpreter
 * moves byte ranges, so every container, field order and padding comes back exactly. Patches are hostile
 * input: each length is checked before it is used and no allocation follows a declared count. */
#pragma once

#include "lode_base.h"

#define LODE_DELTA_MAX_FILES   64 /* base files of one patch, and target files */
#define LODE_DELTA_NAME_MAX    128
#define LODE_DELTA_SHA256_SIZE 32

/* How the bytes of a range are written. The numbers are the format's. */
enum lode_delta_coder {
	LODE_DELTA_COPY,      /* equal to a range of the base */
	LODE_DELTA_RAW,	      /* the bytes themselves */
	LODE_DELTA_ZSTD,      /* one zstd frame */
	LODE_DELTA_ZSTD_BASE, /* one zstd frame with a window of the base as prefix */
	LODE_DELTA_SPARSE,    /* positions and values of the changed elements */
	LODE_DELTA_PLANES,    /* byte planes of the residual, each with its own entropy coder */
	LODE_DELTA_TOKENS,    /* rANS over bit lengths in exponent contexts, low bits raw */
	LODE_DELTA_ADAPTIVE,  /* adaptive binary models: small tensors, slow and smallest */
	LODE_DELTA_FILL,      /* one byte value */
	LODE_DELTA_N_CODERS,
};

/* What the elements are expected to be before the residual is coded. */
enum lode_delta_predictor {
	LODE_DELTA_PREDICT_NONE,      /* zero: the target alone */
	LODE_DELTA_PREDICT_BASE,      /* the base's element */
	LODE_DELTA_PREDICT_ROW_SCALE, /* the base's element times one float per row */
	LODE_DELTA_PREDICT_LOW_RANK,  /* the base's element plus a product of thin matrices */
	LODE_DELTA_PREDICT_CAST,      /* the base's element rounded to the target's type */
	LODE_DELTA_N_PREDICTORS,
};

enum lode_delta_type {
	LODE_DELTA_U8,
	LODE_DELTA_U16,
	LODE_DELTA_U32,
	LODE_DELTA_U64,
	LODE_DELTA_F16,
	LODE_DELTA_BF16,
	LODE_DELTA_F32,
	LODE_DELTA_F64,
	LODE_DELTA_N_TYPES,
};

enum lode_delta_mode {
	LODE_DELTA_MODE_DEFAULT, /* tries every coder; adaptive models up to 2.5 MB of changes */
	LODE_DELTA_MODE_FAST,	 /* decides from a 64 KiB sample of each tensor */
	LODE_DELTA_MODE_BEST,	 /* adaptive models at any size: some 20 MB/s on both sides */
};

const char *lode_delta_coder_name(enum lode_delta_coder c);
const char *lode_delta_predictor_name(enum lode_delta_predictor p);
const char *lode_delta_type_name(enum lode_delta_type t);

/* ---- what a patch says of itself ---- */

struct lode_delta_file {
	char name
		[LODE_DELTA_NAME_MAX]; /* one path component of [A-Za-z0-9._-], no leading dot; may be
					 * empty when it is the only file */
	uint64_t size;
	uint8_t sha256[LODE_DELTA_SHA256_SIZE];
};

struct lode_delta_info {
	uint8_t major, minor, block_log2;
	uint32_t incompat, compat; /* feature masks: an unknown incompat bit is refused */
	uint32_t header_bytes;
	uint32_t n_base, n_target;
	struct lode_delta_file base[LODE_DELTA_MAX_FILES], target[LODE_DELTA_MAX_FILES];
};

/* Reads the header from the first bytes of a patch. Returns its length; 0 when len bytes are not enough
 * yet; -EBADMSG for bytes that are no patch or damaged, -ENOTSUP for features this build does not have. */
long lode_delta_parse_header(
	const uint8_t *data, size_t len, struct lode_delta_info *info, struct lode_err *err);

/* ---- the interpreter: bytes in, bytes out, at most 4 MiB of its own ---- */

/* Everything it reads and writes. Callbacks return 0 or -errno unless noted; the base and target files
 * are numbered as in the header. */
struct lode_delta_io {
	void *ctx;
	/* Next bytes of the patch, front to back: 1..len, 0 at the end. */
	long (*read_patch)(void *ctx, void *buf, size_t len);
	int (*read_base)(void *ctx, unsigned file, uint64_t offset, void *buf, size_t len);
	int (*write_target)(void *ctx, unsigned file, uint64_t offset, const void *buf, size_t len);
	/* Bytes an earlier, interrupted apply has left there; -ENODATA when there are none. NULL: nothing
	 * to resume. What is found is used only if its CRC32C is that of the patch. */
	int (*read_target)(void *ctx, unsigned file, uint64_t offset, void *buf, size_t len);
	/* Optional: after each record. A negative return ends the apply with that code. */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
};

struct lode_delta_stats {
	uint64_t target_bytes, patch_bytes;
	uint64_t resumed_bytes;			    /* found in place */
	uint64_t coder_target[LODE_DELTA_N_CODERS]; /* bytes made by each coder */
	uint64_t coder_patch[LODE_DELTA_N_CODERS];  /* bytes each coder took */
};

/* Checks the SHA-256 of every base file, then writes the targets and checks theirs. Returns -ESTALE
 * before anything is written when a base is another, -EBADMSG for a damaged patch, -ENOMEM, or what a
 * callback returned. info and stats may be NULL. */
int lode_delta_apply(const struct lode_delta_io *io, struct lode_delta_info *info,
	struct lode_delta_stats *stats, struct lode_err *err);

/* ---- files ---- */

/* The writes that matter, so that a test can cut the power at each of them. Return 0 or -errno. */
struct lode_delta_fs {
	void *ctx;
	int (*write_at)(void *ctx, int fd, uint64_t offset, const void *buf, size_t len);
	int (*sync)(void *ctx, int fd); /* a file or a directory */
	int (*rename)(void *ctx, int dir_fd, const char *from, const char *to);
	int (*remove)(void *ctx, int dir_fd, const char *name);
};

struct lode_delta_apply_options {
	const struct lode_delta_fs *fs; /* NULL: the kernel's */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_ctx;
	uint64_t max_target_bytes; /* refuse a patch that would write more; 0: no limit */
};

/* Applies a patch file. base and out are files when the patch has one unnamed file on that side, else
 * directories holding the named files. out is written as "<out>.part" beside it, synced and
 * renamed: a kill or a power cut leaves the old file or the new one, and the next call goes on where this one
 * stopped. A failure for good removes the .part. out may be base. OXDL v1 patches are recognised. */
int lode_delta_apply_path(const char *patch, const char *base, const char *out,
	const struct lode_delta_apply_options *opt, struct lode_delta_stats *stats,
	struct lode_err *err);

/* ---- the encoder ---- */

struct lode_delta_input {
	char name[LODE_DELTA_NAME_MAX];
	const uint8_t *data;
	uint64_t size;
};

/* What one tensor (or the bytes between tensors) cost. */
struct lode_delta_cost {
	char name[LODE_DELTA_NAME_MAX]; /* cut to fit */
	enum lode_delta_type type;
	enum lode_delta_predictor predictor; /* of the largest part */
	enum lode_delta_coder coder;	     /* of the largest part */
	uint64_t target_bytes, patch_bytes;
};

struct lode_delta_report {
	uint64_t base_bytes, target_bytes, patch_bytes;
	uint64_t n_tensors, n_matched, n_unchanged;
	struct lode_delta_cost *costs; /* freed by lode_delta_report_clear */
	uint32_t n_costs;
};

void lode_delta_report_clear(struct lode_delta_report *r);

struct lode_delta_job {
	const struct lode_delta_input *base, *target;
	uint32_t n_base, n_target;
	enum lode_delta_mode mode;
	uint32_t n_threads; /* 0 and 1: the caller's only. The patch is the same for any number */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes); /* may be NULL */
	void *progress_ctx;
};

/* A patch in memory, freed with free(). */
struct lode_delta_patch {
	uint8_t *data;
	size_t len;
};

/* Makes a patch and proves it: each block is decoded and compared before it is kept. Falls
 * back to zstd with a window of the base where no tensor is recognised. Returns 0 also when the patch is
 * larger than the target; the report says so and the caller ships the file instead. report may be NULL. */
int lode_delta_diff(const struct lode_delta_job *job, struct lode_delta_patch *patch,
	struct lode_delta_report *report, struct lode_err *err);

/* The same on files or directories (regular files in them, names as lode_delta_file demands). The patch
 * is written beside its place, synced and renamed. As many threads as the process has CPUs, at most 4. */
int lode_delta_diff_path(const char *base, const char *target, const char *patch,
	enum lode_delta_mode mode,
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes), void *progress_ctx,
	struct lode_delta_report *report, struct lode_err *err);

/* ---- OXDL v1, the format of an older system ---- */

enum lode_oxdl_strategy { LODE_OXDL_BINARY, LODE_OXDL_TENSOR };

struct lode_oxdl_info {
	enum lode_oxdl_strategy strategy;
	uint8_t base_sha256[LODE_DELTA_SHA256_SIZE], target_sha256[LODE_DELTA_SHA256_SIZE];
	uint64_t target_bytes;
	uint32_t n_chunks;
	uint8_t format; /* 0 unknown, 1 ONNX, 2 safetensors */
};

bool lode_oxdl_is(const uint8_t *data, size_t len);
int lode_oxdl_parse(
	const uint8_t *data, size_t len, struct lode_oxdl_info *info, struct lode_err *err);
/* Whole files in memory, as the format demands. On success *target is allocated (free it). */
int lode_oxdl_apply(const uint8_t *patch, size_t patch_len, const uint8_t *base, size_t base_len,
	uint8_t **target, size_t *target_len, struct lode_err *err);
/* The smaller of both strategies that an old reader applies exactly; -EFBIG when neither is smaller
 * than the target. */
int lode_oxdl_diff(const uint8_t *base, size_t base_len, const uint8_t *target, size_t target_len,
	struct lode_delta_patch *patch, struct lode_err *err);
