/* SPDX-License-Identifier: BSD-3-Clause */
/* model: weights that will be executed. Reads model files (safetensors with our metadata, or one of
 * four older published files), checks all of it against golden vectors and packs it for nn; writes FP32
 * masters and INT8 files; knows the feature schemas. Loading allocates and takes milliseconds: helper
 * threads only. A loaded model is immutable and any thread may run it. Actions return 0 or -errno with
 * a sentence that names the tensor, its place, what is expected and what was found.
 *
 * A model file is safetensors within lode_limits_engine and holds
 *   __metadata__   lodestone.version "1", .role, .name, .schema, .schema_sha256, .network (or
 *                  .network.actor and .network.critic), .tensors_sha256, .licence, .card (JSON text),
 *                  and for INT8 .golden_tolerance
 *   weights        as lode_nn_specs names them, FP32 or INT8; with "actor." or "critic." in front for
 *                  two networks; FP32 may be stored as F16 or BF16
 *   golden.input [n, n_steps * n_in], golden.output [n, outputs of all networks] FP32 results;
 *                  in INT8 files golden.int8 too: the exact bits of the quantised networks
 *   calibration.in [n_in, 2], calibration.points [8, 2]  lowest and highest value seen, FP32 only,
 *                  with the same prefixes */
#pragma once

#include "lode_base.h"
#include "lode_nn.h"
#include "lode_onnx.h"
#include "lode_package.h"

/* ---- feature schemas: what the numbers of an input mean ---- */

/* input = clip(raw * scale + offset, low, high) */
struct lode_feature {
	const char *name, *unit; /* of the raw value */
	double scale, offset;
	float low, high;
};

struct lode_schema {
	const char *name; /* "what/version" */
	unsigned n_features;
	const struct lode_feature *features;
};

/* The published older sets: the trainer's and the documented eight loss features, and DrlState. */
extern const struct lode_schema lode_schema_oxidize_trainer, lode_schema_oxidize_seed,
	lode_schema_oxidize_drl;

/* SHA-256 of the schema's text: name, then per feature name, unit, scale, offset, low, high. The text
 * must stay below 16 KiB. */
void lode_schema_hash(const struct lode_schema *schema, uint8_t sha256[LODE_SHA256_BYTES]);
/* raw and out have n_features values. A NaN becomes low. */
void lode_schema_normalise(const struct lode_schema *schema, const double *raw, float *out);
/* Seeded inputs that look like the schema's: n_rows windows of n_steps rows, each a random level
 * with noise around it. */
void lode_schema_sample(const struct lode_schema *schema, unsigned n_steps, uint64_t seed,
	uint32_t n_rows, float *out);

/* ---- network descriptions as text, for metadata and people ---- */

/* "kind=mlp n_in=8 n_steps=1 n_out=6 output=linear activation=relu width=128,128,6" */
#define LODE_NETWORK_TEXT_BYTES 256
void lode_network_print(const struct lode_nn_desc *desc, char text[LODE_NETWORK_TEXT_BYTES]);
/* Every key once, no unknown key, then lode_nn_desc_check. */
int lode_network_parse(const char *text, struct lode_nn_desc *desc, struct lode_err *err);

/* ---- models ---- */

enum lode_model_role {
	LODE_MODEL_LOSS, /* loss predictor: probability, and burst length if there are two outputs */
	LODE_MODEL_DQN,	 /* congestion control, one value per action */
	LODE_MODEL_PPO,	 /* congestion control, networks actor and critic */
	LODE_MODEL_ORACLE, /* compression oracle, one value per class */
	LODE_MODEL_ROLES,
};
const char *lode_model_role_name(enum lode_model_role role);

#define LODE_MODEL_NETS	      2
#define LODE_MODEL_NAME_BYTES 64

struct lode_model_net {
	char name[8]; /* "", or "actor" and "critic" */
	struct lode_nn_desc desc;
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS]; /* as in the file */
	unsigned n_tensors;
	struct lode_nn_ranges ranges;	    /* FP32 only */
	const struct lode_nn_model *packed; /* what to run */
};

struct lode_model {
	char name[LODE_MODEL_NAME_BYTES];
	enum lode_model_role role;
	enum lode_nn_format format; /* of the file */
	const struct lode_schema *schema;
	struct lode_model_net nets[LODE_MODEL_NETS];
	unsigned n_nets;
	uint32_t
		n_golden; /* 0 in older files: INT8 was checked against FP32 on seeded inputs instead */
	const float *golden_in, *golden_out, *golden_int8;
	float golden_tolerance; /* INT8 against golden_out, absolute */
	float golden_error;	/* the largest difference found at load */
	const char *card, *licence;
	uint8_t sha256[LODE_SHA256_BYTES]; /* of the file */
	uint64_t file_bytes, n_params, packed_bytes;
	/* private */
	void *memory, *blob;
	size_t blob_bytes;
	const float *calibration; /* while an FP32 model is quantised */
	uint32_t n_calibration;
	float *drawn;
};

struct lode_model_options {
	/* Schemas the caller can feed; NULL: the older sets. A model of another one is refused. */
	const struct lode_schema *const *schemas;
	unsigned n_schemas;
	enum lode_nn_isa isa;
	enum lode_nn_form form; /* for transformers */
	/* Inputs for an FP32 file without ranges; NULL: drawn from its schema. */
	const float *calibration;
	uint32_t n_calibration; /* rows */
};

/* Reads the whole file into private memory first, so that it cannot change while it is checked. Errors:
 * -EBADMSG not a sound file, -EPROTO schema, -EILSEQ golden vectors or hash do not match, -EINVAL network or
 * weights, -E2BIG, -ENOTSUP, -ENOMEM. */
int lode_model_load(struct lode_model **model, const char *path,
	const struct lode_model_options *options, struct lode_err *err);
int lode_model_load_memory(struct lode_model **model, const void *data, size_t n_bytes,
	const char *name, const struct lode_model_options *options, struct lode_err *err);
void lode_model_free(struct lode_model *model);

/* Sum of n_out of all networks. */
unsigned lode_model_outputs(const struct lode_model *model);
/* Floats of one input. */
unsigned lode_model_inputs(const struct lode_model *model);

/* Runs all networks on one input; out: lode_model_outputs floats, in the order of the networks. Not
 * for the data path. run: INT8, scratch of LODE_NN_SCRATCH_BYTES. reference: FP32 files only, else
 * -ENOTSUP. */
int lode_model_run(const struct lode_model *model, void *scratch, const float *in, float *out);
int lode_model_reference(const struct lode_model *model, const float *in, float *out);

/* {name, role, format, schema, networks, params, bytes, golden, licence, card}. */
void lode_model_json(const struct lode_model *model, struct lode_json *json);

/* ---- what the gateway loads at start ---- */

/* One line per file that was looked at. */
struct lode_model_report {
	char path[256];
	int rc;		/* 0: in use or spare */
	char says[400]; /* "loaded as loss: ...", or why not */
};

struct lode_model_set {
	struct lode_model *by_role[LODE_MODEL_ROLES]; /* NULL: the classic algorithm takes over */
	struct lode_model_report *reports;
	size_t n_reports;
};

/* Looks for *.safetensors in each folder in turn, files by name; the first good model of a role is
 * taken, so folders come in order of preference. Missing folders are reported, never an error: the result may be empty. -ENOMEM only. */
int lode_model_set_load(struct lode_model_set *set, const char *const *folders, unsigned n_folders,
	const struct lode_model_options *options, struct lode_err *err);
void lode_model_set_free(struct lode_model_set *set);

/* ---- writing ---- */

struct lode_model_source {
	const char *name, *licence, *card; /* card: JSON text, may be NULL */
	enum lode_model_role role;
	const struct lode_schema *schema;
	struct {
		struct lode_nn_desc desc;
		const struct lode_nn_tensor *fp32;
		unsigned n_fp32;
		const struct lode_nn_ranges *ranges; /* NULL: from the calibration inputs */
	} nets[LODE_MODEL_NETS];
	unsigned n_nets; /* 2 for PPO: actor, critic; else 1 */
	const float *calibration;
	uint32_t n_calibration; /* rows; NULL and 0: drawn from the schema */
	const float *golden;
	uint32_t n_golden; /* rows, at most 256; NULL and 0: 32 drawn from the schema */
};

/* Makes a file image (free() it): an FP32 master with the ranges it was calibrated with, or INT8 with
 * frozen scales. The image is loaded once before it is handed out. */
int lode_model_write(const struct lode_model_source *source, enum lode_nn_format format,
	uint8_t **image, size_t *n_bytes, struct lode_err *err);

/* The source of a loaded FP32 model, older files included, for quantising it: views into model. */
int lode_model_as_source(
	const struct lode_model *model, struct lode_model_source *source, struct lode_err *err);

/* ---- import from ONNX ---- */

struct lode_model_import {
	struct lode_nn_desc desc;
	struct lode_nn_tensor fp32[LODE_NN_MAX_TENSORS];
	unsigned n_fp32;
	float largest_error; /* between graph and network, on seeded inputs */
	void *memory;	     /* of the tensors; free() */
};

/* Recognises an MLP, an LSTM with a head, or a one-layer transformer read at the last step by the order
 * and shapes of its linear layers, then proves it: graph and network must give the same on seeded
 * inputs, within 1e-4 relative to 1 + |value|. -ENOTSUP with a sentence for everything else. */
int lode_model_import_onnx(const struct lode_onnx_graph *graph, struct lode_model_import *import,
	struct lode_err *err);
