/* SPDX-License-Identifier: BSD-3-Clause */
/* What is trusted, and what was committed under it: <state_dir>/models/trust.json and, for each role, a bundle of
 * delivery/trust with the model's file and its release, one file, so that a power cut leaves the one before or the
 * new one. At every start they are judged as if they came now. */
#include "gateway.h"

#include <stdlib.h>
#include <time.h>

#define STATE_FILE    "trust.json"
#define ROOT_BYTES    (4 * LODE_TRUST_DOC_MAX)
#define STATE_BYTES   (1u << 20)
#define ROLE_FILE_MAX 32

static void folder_of(const struct gateway *g, char folder[PATH_MAX])
{
	snprintf(folder, PATH_MAX, "%s/models", g->config->state_dir);
}

static void role_file(enum lode_model_role role, char name[ROLE_FILE_MAX])
{
	snprintf(name, ROLE_FILE_MAX, "%s.bundle", lode_model_role_name(role));
}

/* *text: free() it. Its length. */
static long read_file(
	const char *folder, const char *name, size_t size, char **text, struct lode_err *err)
{
	*text = malloc(size);
	long len = *text ? state_read_file(folder, name, *text, size, err)
			 : lode_err_set(err, -ENOMEM, "no memory for %s", name);
	if (len >= 0)
		return len;
	free(*text);
	*text = NULL;
	return len;
}

/* ---- what is trusted ---- */

static void anchor_path(struct gateway *g, char path[LODE_PATH_MAX])
{
	pthread_mutex_lock(&g->lock);
	const struct lode_config *c = g->control ? lode_control_config(g->control) : g->config;
	snprintf(path, LODE_PATH_MAX, "%s", c->model_root);
	pthread_mutex_unlock(&g->lock);
}

/* The root of the configuration in force. */
static int read_anchor(struct gateway *g, char **text, struct lode_err *err)
{
	char path[LODE_PATH_MAX];
	anchor_path(g, path);
	if (!*path)
		return lode_err_set(err, -EPERM,
			"system.model_root names no file: without a root no model can be trusted");
	char *slash = strrchr(path, '/');
	const char *folder = slash == path ? "/" : slash ? path : ".";
	const char *name = slash ? slash + 1 : path;
	if (slash)
		*slash = 0;
	return (int)LODE_MIN(read_file(folder, name, ROOT_BYTES, text, err), 0);
}

static int begin_trust(struct gateway *g, struct lode_trust_state *s, struct lode_err *err)
{
	char folder[PATH_MAX], *anchor = NULL, *stored = NULL;
	folder_of(g, folder);
	int rc = read_anchor(g, &anchor, err);
	if (rc)
		return lode_err_prefix(err, "system.model_root");
	rc = (int)LODE_MIN(read_file(folder, STATE_FILE, STATE_BYTES, &stored, err), 0);
	if (!rc || rc == -ENOENT)
		rc = lode_trust_begin(s, anchor, stored, err);
	free(stored);
	free(anchor);
	return rc;
}

int committed_save_trust(const struct gateway *g, const struct lode_trust_state *s)
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

int committed_judge(struct gateway *g, const char *chain, struct lode_trust_state *next,
	struct lode_trust_release *release, struct lode_err *err)
{
	struct lode_trust_state s;
	int rc = begin_trust(g, &s, err);
	if (rc)
		return rc;
	rc = lode_trust_judge(&s, chain, strlen(chain), NULL, NULL, time(NULL), next, release, err);
	/* Newer roots and what they take back hold, whatever became of the release. */
	if (rc && next->root_text && committed_save_trust(g, next))
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN, "what was learned cannot be kept");
	lode_trust_state_clear(&s);
	return rc;
}

/* ---- what was committed ---- */

int committed_keep(const struct gateway *g, enum lode_model_role role, const char *chain,
	const void *bytes, size_t len)
{
	char folder[PATH_MAX], name[ROLE_FILE_MAX];
	struct lode_err ignored;
	struct lode_trust_bundle b = {
		.n_files = 1, .files = {{.chain = (char *)(uintptr_t)chain, .n_bytes = len}}};
	uint8_t *head = NULL;
	size_t head_len;
	folder_of(g, folder);
	role_file(role, name);
	int rc = state_make_dir(folder, &ignored);
	if (!rc)
		rc = lode_trust_bundle_head(&b, &head, &head_len, &ignored);
	char *whole = rc ? NULL : malloc(head_len + len);
	if (whole) {
		memcpy(whole, head, head_len);
		memcpy(whole + head_len, bytes, len);
		rc = state_save_file(folder, name, whole, head_len + len);
	}
	free(head);
	free(whole);
	return rc || whole ? rc : -ENOMEM;
}

struct committed {
	char *whole;
	struct lode_trust_bundle bundle;
	const char *chain, *bytes; /* in them */
	size_t len;
};

static void free_committed(struct committed *c)
{
	lode_trust_bundle_clear(&c->bundle);
	free(c->whole);
}

static int read_committed(
	struct gateway *g, enum lode_model_role role, struct committed *c, struct lode_err *err)
{
	char folder[PATH_MAX], name[ROLE_FILE_MAX];
	*c = (struct committed){0};
	folder_of(g, folder);
	role_file(role, name);
	long len = read_file(folder, name,
		lode_limits_engine.file_bytes + LODE_TRUST_BUNDLE_INDEX_MAX, &c->whole, err);
	int rc =
		len < 0 ? (int)len : lode_trust_bundle_read(&c->bundle, c->whole, (size_t)len, err);
	if (rc)
		return rc;
	c->chain = c->bundle.files[0].chain;
	c->bytes = c->whole + c->bundle.files[0].offset_bytes;
	c->len = c->bundle.files[0].n_bytes;
	return 0;
}

static int serve(struct gateway *g, enum lode_model_role role, const struct committed *c,
	struct served **out, struct lode_err *err)
{
	const struct lode_model_options options = model_options(g);
	struct lode_trust_state next = {0};
	struct lode_trust_release r;
	struct lode_model *m = NULL;
	int rc = committed_judge(g, c->chain, &next, &r, err);
	lode_trust_state_clear(&next);
	if (!rc)
		rc = lode_trust_check_file(&r, c->bytes, c->len, err);
	if (!rc)
		rc = lode_model_load_memory(&m, c->bytes, c->len, r.model, &options, err);
	if (!rc && m->role != role)
		rc = lode_err_set(
			err, -EBADMSG, "it is a model for %s", lode_model_role_name(m->role));
	if (!rc)
		rc = served_new(g, m, r.version, out, err);
	if (rc)
		lode_model_free(m);
	return rc;
}

int committed_load(
	struct gateway *g, enum lode_model_role role, struct served **out, struct lode_err *err)
{
	struct committed c;
	int rc = read_committed(g, role, &c, err);
	if (!rc)
		rc = serve(g, role, &c, out, err);
	/* Whatever is missing then is no model that is missing. */
	if (rc == -ENOENT && c.whole)
		rc = -EBADMSG;
	free_committed(&c);
	return rc;
}

int committed_renew(struct gateway *g, const char *chain, struct lode_trust_release *release,
	struct lode_err *err)
{
	struct lode_trust_state next = {0};
	struct committed c = {0};
	int role, rc = committed_judge(g, chain, &next, release, err);
	for (role = 0; !rc && role < LODE_MODEL_ROLES; role++) {
		free_committed(&c);
		struct lode_err ignored;
		if (!read_committed(g, (enum lode_model_role)role, &c, &ignored) &&
			!lode_trust_check_file(release, c.bytes, c.len, &ignored))
			break;
	}
	if (!rc && role == LODE_MODEL_ROLES)
		rc = lode_err_set(err, -ENOENT, "%s %s was not committed here", release->model,
			release->version);
	if (!rc)
		rc = committed_keep(g, (enum lode_model_role)role, chain, c.bytes, c.len);
	if (!rc)
		rc = committed_save_trust(g, &next);
	free_committed(&c);
	lode_trust_state_clear(&next);
	return rc;
}
