/* SPDX-License-Identifier: BSD-3-Clause */
/* The steps of loading, in the order in which load.c takes them. */
#pragma once

#include "lode_model.h"

#define META "lodestone."

/* Where a file keeps a tensor of a network: "l1.weight" of the actor. */
struct layout_names {
	enum { NAMES_OURS, NAMES_LEGACY_PPO } style;
};
enum { TENSOR_NAME_BYTES = 64 };
void tensor_file_name(const struct layout_names *names, const struct lode_model *m, unsigned net,
	const char *tensor, char out[TENSOR_NAME_BYTES]);

/* describe.c: role, schema and networks from the metadata. -ENOENT without ours. */
int describe_file(struct lode_model *m, const struct lode_package *pkg,
	const struct lode_model_options *options, struct lode_err *err);
/* legacy.c: the same for the four published files, recognised by a tensor's name. */
int describe_legacy(struct lode_model *m, const struct lode_package *pkg,
	struct layout_names *names, struct lode_err *err);
int schema_accept(const struct lode_schema *schema, const struct lode_model_options *options,
	struct lode_err *err);

/* weights.c: copies all tensors into m->memory, converted and checked. */
int read_weights(struct lode_model *m, const struct lode_package *pkg,
	const struct layout_names *names, struct lode_err *err);

/* SHA-256 over all tensors by name: name, NUL, dtype name, NUL, rank, dims
 * (u64 LE), bytes. */
int hash_tensors(const struct lode_package *pkg, uint8_t sha256[LODE_SHA256_BYTES]);
enum { HEX_BYTES = 2 * LODE_SHA256_BYTES + 1 };
void print_hex_digest(const uint8_t sha256[LODE_SHA256_BYTES], char hex[HEX_BYTES]);

/* golden.c */
enum { MAX_OUTPUTS = LODE_MODEL_NETS * LODE_NN_MAX_OUT };
#define GOLDEN_FP32_TOLERANCE 1e-5f /* relative to 1 + |expected| */
/* How far INT8 may be from FP32 at most, whatever a file says: 10 % of the largest output. */
float golden_tolerance_limit(const float *golden_out, size_t n);
int golden_check_fp32(const struct lode_model *m, struct lode_err *err);
/* The exact bits, in the unfolded form. */
int golden_check_int8_bits(
	const struct lode_model *m, const struct lode_model_options *options, struct lode_err *err);
/* The packed model against FP32 results. */
int golden_check_packed(struct lode_model *m, struct lode_err *err);
/* Runs every row of in through a form of the packed networks. */
int golden_run(const struct lode_model *m, enum lode_nn_isa isa, enum lode_nn_form form,
	const float *in, uint32_t n_rows, float *out, struct lode_err *err);
/* Without golden vectors in the file: FP32 results of the given inputs, or seeded ones, take their
 * place. */
int golden_sample(const struct lode_model *m, uint32_t n_rows, const float *given, float **in,
	float **out, struct lode_err *err);

/* bias.c: shifts the biases of a quantised MLP so that every sum keeps its mean over the inputs. */
int correct_biases(const struct lode_model_net *net, const struct lode_nn_tensor *int8,
	unsigned n_int8, const float *in, uint32_t n_rows, struct lode_err *err);

/* pack.c */
/* Sets m->calibration: the given inputs, or some drawn from the schema (2000 for small networks, 500
 * for others); calibration_end drops them. Then widens the ranges of the networks that have none. */
int calibration_begin(
	struct lode_model *m, const float *given, uint32_t n_given, struct lode_err *err);
void calibration_end(struct lode_model *m);
/* Builds every network into one block of memory: m->blob and nets[].packed. */
int pack_nets(
	struct lode_model *m, enum lode_nn_isa isa, enum lode_nn_form form, struct lode_err *err);
void blob_free(void *blob, size_t bytes);
/* The tensors of a network as INT8: its own, or quantised into *memory (free it). */
int int8_tensors(const struct lode_model *m, unsigned net, void **memory,
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS], unsigned *n_tensors,
	struct lode_err *err);
