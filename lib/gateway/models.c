/* SPDX-License-Identifier: BSD-3-Clause */
/* The models a gateway starts with: the last committed ones of its state directory, else those shipped with
 * it. A role without one is served by its classic algorithm, and the log says so. */
#include "gateway.h"

#include "lode_schemas.h"

#include <stdlib.h>

static void log_reports(struct gateway *g)
{
	for (size_t i = 0; i < g->models.n_reports; i++) {
		const struct lode_model_report *r = &g->models.reports[i];
		bool absent = r->rc == -ENOENT;
		log_line(&g->log, LOG_GATEWAY,
			r->rc == 0 ? LODE_LOG_INFO
			: absent   ? LODE_LOG_DEBUG
				   : LODE_LOG_WARN,
			"model %s: %s", r->path, r->says);
	}
}

static_assert(
	(int)LODE_ISA_CHOICE_NEON == (int)LODE_NN_NEON, "configuration and nn name the same sets");

int start_models(struct gateway *g, struct lode_err *err)
{
	const struct lode_model_options model_options = {
		.isa = (enum lode_nn_isa)g->config->model_isa,
		.schemas = lode_engine_schemas,
		.n_schemas = lode_engine_n_schemas};
	char committed[LODE_PATH_MAX + sizeof("/models")];
	const char *shipped = getenv("LODESTONE_MODEL_DIR");
	snprintf(committed, sizeof(committed), "%s/models", g->config->state_dir);
	const char *folders[] = {committed, shipped ? shipped : g->config->model_dir};
	int rc = lode_model_set_load(
		&g->models, folders, LODE_ARRAY_LEN(folders), &model_options, err);
	if (rc)
		return rc;
	log_reports(g);
	for (int role = 0; role < LODE_MODEL_ROLES; role++)
		if (g->models.by_role[role])
			return 0;
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO,
		"no models in %s or %s: the classic algorithms decide", folders[0], folders[1]);
	return 0;
}

void stop_models(struct gateway *g)
{
	lode_model_set_free(&g->models);
}

int view_models(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	for (int role = 0; role < LODE_MODEL_ROLES; role++) {
		const struct lode_model *m = g->models.by_role[role];
		char digest[2 * LODE_SHA256_BYTES + 1] = "-";
		for (unsigned i = 0; m && i < LODE_SHA256_BYTES; i++)
			snprintf(digest + 2 * i, 3, "%02x", m->sha256[i]);
		lode_json_object(j, lode_model_role_name((enum lode_model_role)role));
		lode_json_string(j, "name", m ? m->name : "classic");
		lode_json_string(j, "format",
			!m				   ? "-"
			: m->format == LODE_NN_FORMAT_INT8 ? "int8"
							   : "fp32");
		lode_json_string(j, "schema", m ? m->schema->name : "-");
		lode_json_string(j, "isa",
			m ? lode_nn_isa_name(lode_nn_model_isa(m->nets[0].packed)) : "-");
		lode_json_u64(j, "params", m ? m->n_params : 0);
		lode_json_u64(j, "golden", m ? m->n_golden : 0);
		lode_json_string(j, "sha256", digest);
		lode_json_close_object(j);
	}
	return 0;
}
