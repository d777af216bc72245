/* SPDX-License-Identifier: BSD-3-Clause */
#include "model.h"

static void json_net(const struct lode_model_net *net, struct lode_json *j)
{
	char text[LODE_NETWORK_TEXT_BYTES];
	lode_network_print(&net->desc, text);
	lode_json_object(j, NULL);
	if (net->name[0])
		lode_json_string(j, "name", net->name);
	lode_json_string(j, "network", text);
	lode_json_u64(j, "macs", lode_nn_macs(&net->desc));
	lode_json_string(j, "isa", lode_nn_isa_name(lode_nn_model_isa(net->packed)));
	lode_json_string(j, "form", lode_nn_form_name(lode_nn_model_form(net->packed)));
	lode_json_u64(j, "packed_bytes", lode_nn_model_used_bytes(net->packed));
	lode_json_close_object(j);
}

static void json_schema(const struct lode_schema *schema, struct lode_json *j)
{
	uint8_t hash[LODE_SHA256_BYTES];
	char hex[HEX_BYTES];
	lode_schema_hash(schema, hash);
	print_hex_digest(hash, hex);
	lode_json_object(j, "schema");
	lode_json_string(j, "name", schema->name);
	lode_json_string(j, "sha256", hex);
	lode_json_array(j, "features");
	for (unsigned i = 0; i < schema->n_features; i++)
		lode_json_string(j, NULL, schema->features[i].name);
	lode_json_close_array(j);
	lode_json_close_object(j);
}

static void json_golden(const struct lode_model *m, struct lode_json *j)
{
	lode_json_object(j, "golden");
	lode_json_u64(j, "vectors", m->n_golden);
	lode_json_double(j, "tolerance", (double)m->golden_tolerance);
	lode_json_double(j, "largest_error", (double)m->golden_error);
	lode_json_close_object(j);
}

void lode_model_json(const struct lode_model *m, struct lode_json *j)
{
	char hex[HEX_BYTES];
	print_hex_digest(m->sha256, hex);
	lode_json_object(j, NULL);
	lode_json_string(j, "name", m->name);
	lode_json_string(j, "role", lode_model_role_name(m->role));
	lode_json_string(j, "format", m->format == LODE_NN_FORMAT_INT8 ? "INT8" : "FP32");
	lode_json_string(j, "sha256", hex);
	lode_json_u64(j, "bytes", m->file_bytes);
	lode_json_u64(j, "params", m->n_params);
	lode_json_u64(j, "packed_bytes", m->packed_bytes);
	lode_json_array(j, "networks");
	for (unsigned i = 0; i < m->n_nets; i++)
		json_net(&m->nets[i], j);
	lode_json_close_array(j);
	json_schema(m->schema, j);
	json_golden(m, j);
	lode_json_string(j, "licence", m->licence);
	lode_json_string(j, "card", m->card);
	lode_json_close_object(j);
}
