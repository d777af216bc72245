/* SPDX-License-Identifier: BSD-3-Clause */
/* Every real model pair comes back exactly, in every mode, no larger than measured before. */
#include "memory_io.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>

struct pair {
	char base[64], target[64];
	double max_ratio; /* of patch to target, default mode */
};

static struct pair pairs[] = {
	{"seed-mlp/v1.onnx", "seed-mlp/v2-lastlayer-noise1pct.onnx", 0.0033},
	{"seed-mlp/v1.onnx", "seed-mlp/v2-all-weights5pct.onnx", 0.0466},
	{"seed-mlp/v1.onnx", "seed-mlp/v2-retrain.onnx", 0.833},
	{"cnn/v1.onnx", "cnn/v2-finetune-adam.onnx", 0.66},
	{"cnn/v1.onnx", "cnn/v2-continual-sgd.onnx", 0.41},
	{"cnn/v1.onnx", "cnn/v2-head.onnx", 0.0028},
	{"cnn/v1.onnx", "cnn/v2-prune50.onnx", 0.0098},
	{"cnn/v1.onnx", "cnn/v2-retrain.onnx", 0.835},
	{"cnn-bnfold/v1.onnx", "cnn-bnfold/v2-bn-adapted.onnx", 0.028},
	{"cnn-int8/v1.onnx", "cnn-int8/v2-finetune.onnx", 0.51},
	{"cnn-sparse/v1.safetensors", "cnn-sparse/v2-finetune-masked.safetensors", 0.165},
	{"lstm/v1.safetensors", "lstm/v2-finetune-adam.safetensors", 0.671},
	{"gpt/v1.safetensors", "gpt/v2-finetune-adamw.safetensors", 0.683},
	{"gpt/v1-bf16.safetensors", "gpt/v2-finetune-adamw-bf16.safetensors", 0.375},
	{"gpt/v1.safetensors", "gpt/v2-lora-merged.safetensors", 0.408},
	{"gpt/v1-bf16.safetensors", "gpt/v2-lora-merged-bf16.safetensors", 0.29},
	{"mlp-float-data/v1.onnx", "mlp-float-data/v2-finetune.onnx", 0.7},
	{"mlp-external/v1/model.onnx", "mlp-external/v2/model.onnx", 0.3},
	{"mlp-external/v1/model.onnx.data", "mlp-external/v2/model.onnx.data", 0.92},
	{"mlp-unknown/v1.npz", "mlp-unknown/v2.npz", 0.9},
	{"mlp-clean/v1.safetensors", "mlp-clean/v2-finetune.safetensors", 0.27},
	{"mlp-struct/v1.safetensors", "mlp-struct/v2-renamed-reordered-grown.safetensors", 0.0205},
};

ParameterizedTestParameters(pairs, come_back_exactly)
{
	return cr_make_param_array(struct pair, pairs, LODE_ARRAY_LEN(pairs));
}

static uint8_t *load(const char *name, size_t *len)
{
	char path[128];
	snprintf(path, sizeof(path), "model-pairs/%s", name);
	return load_data(path, len);
}

ParameterizedTest(struct pair *p, pairs, come_back_exactly)
{
	size_t base_len, target_len;
	uint8_t *base = load(p->base, &base_len), *target = load(p->target, &target_len);
	if (base && target) {
		size_t len =
			round_trip(base, base_len, target, target_len, LODE_DELTA_MODE_DEFAULT);
		cr_expect_leq((double)len, p->max_ratio * (double)target_len, "%s: %.4f", p->target,
			(double)len / (double)target_len);
		round_trip(base, base_len, target, target_len, LODE_DELTA_MODE_FAST);
		round_trip(target, target_len, base, base_len, LODE_DELTA_MODE_FAST);
	}
	free(base);
	free(target);
}
