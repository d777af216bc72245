/* SPDX-License-Identifier: BSD-3-Clause */
/* A model that comes while we run: whoever brings it, it must have come as sealed memory, be signed for this
 * appliance's root, be what its release says, have a schema that is fed here, and give its golden vectors. Then it
 * runs on trial: who brought it looks whether all is well and says that it stays, or goes. */
#include "gateway.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define TRIAL_NS      (600 * LODE_NS_PER_S)
#define STATE_FILE    "trust.json"
#define ROOT_BYTES    (4 * LODE_TRUST_DOC_MAX)
#define STATE_BYTES   (1u << 20)
#define ROLE_FILE_MAX 32

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

static void folder_of(const struct gateway *g, char folder[PATH_MAX])
{
	snprintf(folder, PATH_MAX, "%s/models", g->config->state_dir);
}

static void role_file(enum lode_model_role role, const char *suffix, char name[ROLE_FILE_MAX])
{
	snprintf(name, ROLE_FILE_MAX, "%s.%s", lode_model_role_name(role), suffix);
}

/* ---- what is trusted ---- */

static int read_text(
	const char *folder, const char *name, size_t size, char **text, struct lode_err *err)
{
	*text = malloc(size);
	long len = *text ? state_read_file(folder, name, *text, size, err)
			 : lode_err_set(err, -ENOMEM, "no memory for %s", name);
	if (len >= 0)
		return 0;
	free(*text);
	*text = NULL;
	return (int)len;
}

/* The root of the configuration in force. */
static int read_anchor(struct gateway *g, char **text, struct lode_err *err)
{
	char path[LODE_PATH_MAX];
	pthread_mutex_lock(&g->lock);
	snprintf(path, sizeof(path), "%s", lode_control_config(g->control)->model_root);
	pthread_mutex_unlock(&g->lock);
	if (!*path)
		return lode_err_set(err, -EPERM,
			"system.model_root names no file: without a root no model can be trusted");
	char *slash = strrchr(path, '/');
	const char *folder = slash == path ? "/" : slash ? path : ".";
	const char *name = slash ? slash + 1 : path;
	if (slash)
		*slash = 0;
	return read_text(folder, name, ROOT_BYTES, text, err);
}

static int begin_trust(struct gateway *g, struct lode_trust_state *s, struct lode_err *err)
{
	char folder[PATH_MAX], *anchor, *stored = NULL;
	folder_of(g, folder);
	int rc = read_anchor(g, &anchor, err);
	if (rc)
		return lode_err_prefix(err, "system.model_root");
	rc = read_text(folder, STATE_FILE, STATE_BYTES, &stored, err);
	if (!rc || rc == -ENOENT)
		rc = lode_trust_begin(s, anchor, stored, err);
	free(stored);
	free(anchor);
	return rc;
}

static int save_trust(const struct gateway *g, const struct lode_trust_state *s)
{
	char folder[PATH_MAX];
	struct lode_err ignored;
	char *text = lode_trust_state_print(s);
	folder_of(g, folder);
	int rc = text ? state_make_dir(folder, &ignored) : -ENOMEM;
	if (!rc)
		rc = state_save_file(folder, STATE_FILE, text, strlen(text));
	free(text);
	return rc;
}

static int judge(struct gateway *g, struct model_trial *t, struct lode_err *err)
{
	struct lode_trust_state s;
	int rc = begin_trust(g, &s, err);
	if (rc)
		return rc;
	rc = lode_trust_judge(&s, t->chain, strlen(t->chain), NULL, NULL, time(NULL), &t->trust,
		&t->release, err);
	/* Newer roots and what they take back hold, whatever became of the release. */
	if (rc && t->trust.root_text && save_trust(g, &t->trust))
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN, "what was learned cannot be kept");
	lode_trust_state_clear(&s);
	return rc;
}

int trial_read_release(
	const struct gateway *g, enum lode_model_role role, struct lode_trust_release *release)
{
	char folder[PATH_MAX], name[ROLE_FILE_MAX], *text;
	struct lode_err ignored;
	folder_of(g, folder);
	role_file(role, "release", name);
	int rc = read_text(folder, name, LODE_TRUST_CHAIN_MAX, &text, &ignored);
	if (rc)
		return rc;
	rc = lode_trust_release_read(text, strlen(text), release, &ignored);
	free(text);
	return rc;
}

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
		rc = judge(g, t, err);
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

/* The file first: a power cut leaves a newer model than is remembered, which is remembered when it comes again. */
static int keep(const struct gateway *g, const struct model_trial *t)
{
	char folder[PATH_MAX], name[ROLE_FILE_MAX];
	struct lode_err ignored;
	folder_of(g, folder);
	role_file(t->role, "safetensors", name);
	int rc = state_make_dir(folder, &ignored);
	if (!rc)
		rc = state_save_file(folder, name, t->bytes, t->len);
	role_file(t->role, "release", name);
	if (!rc)
		rc = state_save_file(folder, name, t->chain, strlen(t->chain));
	return rc ? rc : save_trust(g, &t->trust);
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
