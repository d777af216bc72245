/* SPDX-License-Identifier: BSD-3-Clause */
/* The four weight files that an older project published: no metadata, known tensor names. The network
 * is fixed by the file's kind; shapes are checked later against it. */
#include "model.h"

#include <stdio.h>

static void describe_transformer(struct lode_model *m)
{
	m->role = LODE_MODEL_LOSS;
	m->n_nets = 1;
	m->nets[0].desc = lode_nn_desc_transformer_legacy();
}

static void describe_lstm(struct lode_model *m)
{
	m->role = LODE_MODEL_LOSS;
	m->n_nets = 1;
	m->nets[0].desc = lode_nn_desc_lstm(8, 20, 64, 1);
}

static void describe_dqn(struct lode_model *m)
{
	static const uint16_t width[] = {128, 128, 6};
	m->role = LODE_MODEL_DQN;
	m->n_nets = 1;
	m->nets[0].desc = lode_nn_desc_mlp(8, 1, width, 3, LODE_NN_OUT_LINEAR);
}

static void describe_ppo(struct lode_model *m)
{
	static const uint16_t actor[] = {128, 128, 2}, critic[] = {128, 128, 1};
	m->role = LODE_MODEL_PPO;
	m->n_nets = 2;
	m->nets[0].desc = lode_nn_desc_mlp(8, 1, actor, 3, LODE_NN_OUT_LINEAR);
	m->nets[1].desc = lode_nn_desc_mlp(8, 1, critic, 3, LODE_NN_OUT_LINEAR);
	strcpy(m->nets[0].name, "actor");
	strcpy(m->nets[1].name, "critic");
}

static const struct {
	const char *tensor; /* that tells the kind */
	const char *name;
	const struct lode_schema *schema;
	void (*describe)(struct lode_model *m);
} kinds[] = {
	{"qkv.weight", "older transformer", &lode_schema_oxidize_trainer, describe_transformer},
	{"hidden_proj.weight", "older LSTM", &lode_schema_oxidize_trainer, describe_lstm},
	{"actor_l1.weight", "older PPO", &lode_schema_oxidize_drl, describe_ppo},
	{"l1.weight", "older DQN", &lode_schema_oxidize_drl, describe_dqn},
};

int describe_legacy(struct lode_model *m, const struct lode_package *pkg,
	struct layout_names *names, struct lode_err *err)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(kinds); i++) {
		if (!lode_package_tensor(pkg, kinds[i].tensor))
			continue;
		kinds[i].describe(m);
		m->schema = kinds[i].schema;
		m->format = LODE_NN_FORMAT_FP32;
		strcpy(m->name, kinds[i].name);
		names->style = m->role == LODE_MODEL_PPO ? NAMES_LEGACY_PPO : NAMES_OURS;
		return 0;
	}
	return lode_err_set(err, -EBADMSG,
		"no " META "version in the metadata and not one of the four older files");
}

void tensor_file_name(const struct layout_names *names, const struct lode_model *m, unsigned net,
	const char *tensor, char out[TENSOR_NAME_BYTES])
{
	const char *prefix = m->nets[net].name;
	if (names->style == NAMES_LEGACY_PPO && !strncmp(tensor, "l3.", 3))
		snprintf(out, TENSOR_NAME_BYTES, "%s_out%s", prefix, tensor + 2);
	else if (names->style == NAMES_LEGACY_PPO)
		snprintf(out, TENSOR_NAME_BYTES, "%s_%s", prefix, tensor);
	else
		snprintf(out, TENSOR_NAME_BYTES, "%s%s%s", prefix, prefix[0] ? "." : "", tensor);
}
