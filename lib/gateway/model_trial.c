/* SPDX-License-Identifier: BSD-3-Clause */
/* A model that comes while we run: whoever brings it, it must have come as sealed memory, be signed for this
 * appliance's root, be what its release says, have a schema that is fed here, and give its golden vectors. Then it
 * runs on trial: who brought it looks whether all is well and says that it stays, or goes. */
#include "gateway.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TRIAL_NS (600 * LODE_NS_PER_S)

struct model_trial {
	struct served *on_trial, *before; /* before: NULL for the classic */
	enum lode_model_role role;
	struct lode_trust_release release;
	struct lode_trust_state trust; /* to remember when it stays */
	char *chain;
	const void *bytes; /* of the sealed memory, mapped */
	size_t len;
	uint64_t until_ns;
};

/* ---- trials ---- */

static void trial_free(struct model_trial *t)
{
	if (t->bytes)
		munmap((void *)(uintptr_t)t->bytes, t->len);
	lode_trust_state_clear(&t->trust);
	free(t->chain);
	free(t);
}

static int load(struct gateway *g, struct model_trial *t, struct lode_err *err)
{
	const struct lode_model_options options = model_options(g);
	struct lode_model *m;
	int rc = lode_trust_check_file(&t->release, t->bytes, t->len, err);
	if (!rc)
		rc = lode_model_load_memory(&m, t->bytes, t->len, t->release.model, &options, err);
	if (rc)
		return rc;
	t->role = m->role;
	rc = served_new(g, m, t->release.version, &t->on_trial, err);
	if (rc)
		lode_model_free(m);
	return rc;
}

static int make_trial(struct gateway *g, const char *chain, int fd, struct model_trial **out,
	struct lode_err *err)
{
	struct model_trial *t = calloc(1, sizeof(*t));
	if (!t)
		return lode_err_set(err, -ENOMEM, "no memory for a model");
	t->chain = strdup(chain);
	int rc = t->chain ? 0 : lode_err_set(err, -ENOMEM, "no memory for a model");
	if (!rc && fd < 0)
		rc = lode_err_set(
			err, -EINVAL, "the model's sealed memfd has to come with the request");
	if (!rc)
		rc = lode_ipc_memfd_map(fd, lode_limits_engine.file_bytes, &t->bytes, &t->len, err);
	if (!rc)
		rc = committed_judge(g, t->chain, &t->trust, &t->release, err);
	if (!rc)
		rc = load(g, t, err);
	if (rc)
		trial_free(t);
	else
		*out = t;
	return rc;
}

/* Takes the trial out of the gateway's sight; who calls decides what becomes of its models. */
static struct model_trial *end_trial(struct gateway *g)
{
	struct model_trial *t = g->models.trial;
	pthread_mutex_lock(&g->lock);
	g->models.trial = NULL;
	pthread_mutex_unlock(&g->lock);
	return t;
}

static void go_back(struct gateway *g, const char *why)
{
	struct model_trial *t = end_trial(g);
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN, "model %s %s goes: %s", t->release.model,
		t->release.version, why);
	models_retire(g, models_swap(g, t->role, t->before));
	trial_free(t);
}

static void describe(const struct model_trial *t, const char *state, struct lode_json *j)
{
	lode_json_string(j, "state", state);
	lode_json_string(j, "role", lode_model_role_name(t->role));
	lode_json_string(j, "model", t->release.model);
	lode_json_string(j, "version", t->release.version);
	lode_json_u64(j, "release", t->release.counter);
	lode_json_u64(j, "root", t->trust.root.version);
	lode_json_string(j, "sha256", t->release.sha256);
}

int model_try(
	struct gateway *g, const char *chain, int fd, struct lode_json *j, struct lode_err *err)
{
	struct model_trial *t = NULL;
	int rc = make_trial(g, chain, fd, &t, err);
	if (rc) {
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN, "model refused: %s", err->msg);
		return rc;
	}
	if (g->models.trial)
		go_back(g, "another one comes");
	t->before = models_swap(g, t->role, t->on_trial);
	t->until_ns = now_ns() + TRIAL_NS;
	pthread_mutex_lock(&g->lock);
	g->models.trial = t;
	pthread_mutex_unlock(&g->lock);
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO, "model %s %s runs on trial as %s",
		t->release.model, t->release.version, lode_model_role_name(t->role));
	describe(t, "on_trial", j);
	return 0;
}

static int check_trial(const struct gateway *g, struct lode_err *err)
{
	return g->models.trial ? 0 : lode_err_set(err, -ENOENT, "no model is on trial");
}

/* The model first: a power cut leaves a newer one than is remembered, which is remembered when it comes again. */
static int keep(const struct gateway *g, const struct model_trial *t)
{
	int rc = committed_keep(g, t->role, t->chain, t->bytes, t->len);
	return rc ? rc : committed_save_trust(g, &t->trust);
}

int model_commit(struct gateway *g, struct lode_json *j, struct lode_err *err)
{
	int rc = check_trial(g, err);
	if (rc)
		return rc;
	rc = keep(g, g->models.trial);
	if (rc) {
		go_back(g, strerror(-rc));
		return lode_err_set(err, rc, "the model cannot be kept in %s: %s",
			g->config->state_dir, strerror(-rc));
	}
	struct model_trial *t = end_trial(g);
	models_retire(g, t->before);
	describe(t, "committed", j);
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO, "model %s %s stays", t->release.model,
		t->release.version);
	trial_free(t);
	return 0;
}

int model_rollback(struct gateway *g, struct lode_json *j, struct lode_err *err)
{
	int rc = check_trial(g, err);
	if (rc)
		return rc;
	describe(g->models.trial, "rolled_back", j);
	go_back(g, "who brought it does not want it");
	return 0;
}

int model_renew(struct gateway *g, const char *chain, struct lode_json *j, struct lode_err *err)
{
	struct lode_trust_release r;
	int rc = committed_renew(g, chain, &r, err);
	if (rc)
		return rc;
	lode_json_string(j, "model", r.model);
	lode_json_string(j, "version", r.version);
	lode_json_u64(j, "release", r.counter);
	return 0;
}

void trial_run(struct gateway *g, uint64_t now)
{
	if (g->models.trial && now >= g->models.trial->until_ns)
		go_back(g, "nobody said that it stays");
}

/* Nothing runs any more; the next start takes what was committed. */
void trial_stop(struct gateway *g)
{
	struct model_trial *t = g->models.trial;
	if (!t)
		return;
	served_free(t->before);
	g->models.trial = NULL;
	trial_free(t);
}

bool trial_is(const struct gateway *g, const struct served *s)
{
	return g->models.trial && g->models.trial->on_trial == s;
}
