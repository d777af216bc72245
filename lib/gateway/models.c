/* SPDX-License-Identifier: BSD-3-Clause */
/* The models a gateway runs. It starts with the last committed ones (model_committed.c), else with those shipped
 * with it; later ones come over the control socket (model_trial.c). A role without one is served by its classic
 * algorithm, and the log says so. A model is let go when every worker has a snapshot without it. */
#include "gateway.h"

#include "lode_schemas.h"

#include <stdlib.h>

static void log_reports(struct gateway *g, const struct lode_model_set *set)
{
	for (size_t i = 0; i < set->n_reports; i++) {
		const struct lode_model_report *r = &set->reports[i];
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

struct lode_model_options model_options(const struct gateway *g)
{
	return (struct lode_model_options){.isa = (enum lode_nn_isa)g->config->model_isa,
		.schemas = lode_engine_schemas,
		.n_schemas = lode_engine_n_schemas};
}

/* ---- what runs ---- */

int served_new(struct gateway *g, struct lode_model *model, const char *version,
	struct served **out, struct lode_err *err)
{
	struct served *s = calloc(1, sizeof(*s));
	if (!s)
		return lode_err_set(err, -ENOMEM, "no memory for model %s", model->name);
	s->model = model;
	snprintf(s->version, sizeof(s->version), "%s", version);
	int rc = model->role == LODE_MODEL_LOSS
			 ? lode_loss_model_init(&s->loss, model, ++g->models.serial, err)
			 : 0;
	if (rc) {
		free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void served_free(struct served *s)
{
	if (s)
		lode_model_free(s->model);
	free(s);
}

void models_show(struct gateway *g)
{
	const struct served *loss = g->models.now[LODE_MODEL_LOSS];
	lode_control_set_loss_model(g->control, loss ? &loss->loss : NULL);
}

struct served *models_swap(struct gateway *g, enum lode_model_role role, struct served *to)
{
	pthread_mutex_lock(&g->lock);
	struct served *was = g->models.now[role];
	g->models.now[role] = to;
	models_show(g);
	if (was)
		was->last_serial = lode_control_serial(g->control);
	pthread_mutex_unlock(&g->lock);
	return was;
}

void models_retire(struct gateway *g, struct served *s)
{
	if (!s)
		return;
	s->next = g->models.retired;
	g->models.retired = s;
}

void models_run(struct gateway *g)
{
	uint64_t serial = UINT64_MAX;
	for (unsigned i = 0; i < g->config->n_workers; i++)
		serial = LODE_MIN(serial, lode_worker_serial(g->workers[i].worker));
	for (struct served **link = &g->models.retired; *link;) {
		struct served *s = *link;
		if (s->last_serial >= serial) {
			link = &s->next;
			continue;
		}
		*link = s->next;
		served_free(s);
	}
}

/* ---- start and stop ---- */

/* Mask of roles that are taken: one that is refused leaves its role to the classic, not to a shipped model, for that
 * may be the one it was to replace. */
static int serve_committed(struct gateway *g, unsigned *taken, struct lode_err *err)
{
	for (int role = 0; role < LODE_MODEL_ROLES; role++) {
		int rc = committed_load(g, (enum lode_model_role)role, &g->models.now[role], err);
		if (rc == -ENOENT)
			continue;
		if (rc == -ENOMEM)
			return rc;
		*taken |= 1u << role;
		const char *name = lode_model_role_name((enum lode_model_role)role);
		if (rc)
			log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN,
				"the committed model for %s is refused: %s; the classic takes its "
				"place",
				name, err->msg);
		else
			log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO,
				"model %s %s runs as %s, as committed",
				g->models.now[role]->model->name, g->models.now[role]->version,
				name);
	}
	return 0;
}

/* Takes the models out of the set. */
static int serve_shipped(
	struct gateway *g, struct lode_model_set *set, unsigned taken, struct lode_err *err)
{
	for (int role = 0; role < LODE_MODEL_ROLES; role++) {
		struct lode_model *m = set->by_role[role];
		if (!m || (taken >> role & 1))
			continue;
		int rc = served_new(g, m, "", &g->models.now[role], err);
		if (rc == -ENOMEM)
			return rc;
		if (rc)
			log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN,
				"%s: the classic takes its place", err->msg);
		else
			set->by_role[role] = NULL;
	}
	return 0;
}

int start_models(struct gateway *g, struct lode_err *err)
{
	const struct lode_model_options options = model_options(g);
	struct lode_model_set set;
	const char *shipped = getenv("LODESTONE_MODEL_DIR");
	unsigned taken = 0;
	if (!shipped)
		shipped = g->config->model_dir;
	int rc = lode_model_set_load(&set, &shipped, 1, &options, err);
	if (rc)
		return rc;
	log_reports(g, &set);
	rc = serve_committed(g, &taken, err);
	if (!rc)
		rc = serve_shipped(g, &set, taken, err);
	lode_model_set_free(&set);
	if (rc) {
		stop_models(g);
		return rc;
	}
	for (int role = 0; role < LODE_MODEL_ROLES; role++)
		if (g->models.now[role])
			return 0;
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO,
		"no models in %s/models or %s: the classic algorithms decide", g->config->state_dir,
		shipped);
	return 0;
}

/* Workers have ended. */
void stop_models(struct gateway *g)
{
	trial_stop(g);
	for (int role = 0; role < LODE_MODEL_ROLES; role++) {
		served_free(g->models.now[role]);
		g->models.now[role] = NULL;
	}
	while (g->models.retired) {
		struct served *s = g->models.retired;
		g->models.retired = s->next;
		served_free(s);
	}
}

int view_models(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	for (int role = 0; role < LODE_MODEL_ROLES; role++) {
		const struct served *s = g->models.now[role];
		const struct lode_model *m = s ? s->model : NULL;
		char digest[2 * LODE_SHA256_BYTES + 1] = "-";
		if (m)
			lode_hex(m->sha256, LODE_SHA256_BYTES, digest);
		lode_json_object(j, lode_model_role_name((enum lode_model_role)role));
		lode_json_string(j, "name", m ? m->name : "classic");
		lode_json_string(j, "version", s && *s->version ? s->version : "-");
		lode_json_bool(j, "on_trial", s && trial_is(g, s));
		lode_json_string(j, "format",
			!m				   ? "-"
			: m->format == LODE_NN_FORMAT_INT8 ? "int8"
							   : "fp32");
		lode_json_string(j, "schema", m ? m->schema->name : "-");
		lode_json_string(
			j, "isa", m ? lode_nn_isa_name(lode_nn_model_isa(m->nets[0].packed)) : "-");
		lode_json_u64(j, "params", m ? m->n_params : 0);
		lode_json_u64(j, "golden", m ? m->n_golden : 0);
		lode_json_string(j, "sha256", digest);
		lode_json_close_object(j);
	}
	return 0;
}
