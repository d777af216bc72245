/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of TUF 1.0 5.3 and after: newer roots first, one by one; is the newest still valid; then the release, by
 * the release keys or by a delegated one; then what was accepted before. */
#include "trust.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- roots ---- */

static int take_root(struct lode_trust_state *s, const json_t *envelope,
	const struct lode_trust_root *root, struct lode_err *err)
{
	if (root->version != s->root.version + 1)
		return lode_err_set(err, -ESTALE,
			"root %" PRIu64 " comes after root %" PRIu64 ": those between are missing",
			root->version, s->root.version);
	if (root->throwaway != s->root.throwaway || root->epoch < s->root.epoch)
		return lode_err_set(err, -EBADMSG,
			"root %" PRIu64 " turns back its epoch or its nature", root->version);
	int rc = envelope_check(envelope, DOC_ROOT, &s->root.root, "the root before", err);
	if (!rc)
		rc = envelope_check(envelope, DOC_ROOT, &root->root, "the new root itself", err);
	char *text = rc ? NULL : json_dumps(envelope, JSON_COMPACT);
	if (rc || !text)
		return rc ? rc : lode_err_set(err, -ENOMEM, "no memory for a root");
	free(s->root_text);
	s->root_text = text;
	/* After stolen release keys, what they said of the time counts no more either. */
	s->newest_s = root->epoch > s->root.epoch ? root->issued_s
						  : LODE_MAX(s->newest_s, root->issued_s);
	s->root = *root;
	return 0;
}

static int follow_roots(struct lode_trust_state *s, const json_t *roots, struct lode_err *err)
{
	const json_t *envelope;
	size_t i;
	if (json_array_size(roots) > LODE_TRUST_ROOTS_MAX)
		return lode_err_set(err, -EBADMSG, "a chain of %zu roots: up to %d are expected",
			json_array_size(roots), LODE_TRUST_ROOTS_MAX);
	json_array_foreach(roots, i, envelope)
	{
		struct lode_trust_root root;
		json_t *doc = envelope_payload(envelope, DOC_ROOT, err);
		int rc = doc ? root_from(&root, doc, err) : err->code;
		json_decref(doc);
		if (!rc && root.version > s->root.version)
			rc = take_root(s, envelope, &root, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int check_time(const char *what, int64_t expires_s, int64_t now_s, struct lode_err *err)
{
	return now_s < expires_s
		       ? 0
		       : lode_err_set(err, -ETIME,
				 "%s expired %" PRId64 " hours ago: a newer one is needed", what,
				 (now_s - expires_s) / 3600);
}

/* ---- marks ---- */

static struct lode_trust_mark *find_mark(struct lode_trust_state *s, const char *model)
{
	for (unsigned i = 0; i < s->n_marks; i++)
		if (!strcmp(s->marks[i].model, model))
			return &s->marks[i];
	if (s->n_marks == LODE_TRUST_MODELS_MAX)
		return NULL;
	struct lode_trust_mark *m = &s->marks[s->n_marks++];
	*m = (struct lode_trust_mark){0};
	memcpy(m->model, model, strlen(model) + 1);
	return m;
}

static int check_mark(
	const struct lode_trust_mark *m, const struct lode_trust_release *r, struct lode_err *err)
{
	if (m->epoch < r->epoch)
		return 0; /* counters began anew */
	if (r->counter < m->floor)
		return lode_err_set(err, -ESTALE,
			"%s %s is release %" PRIu64 ", an older one than %" PRIu64
			" is not gone back to",
			r->model, r->version, r->counter, m->floor);
	if (r->counter == m->counter && strcmp(r->sha256, m->sha256) != 0)
		return lode_err_set(err, -ESTALE,
			"%s %s: there was another file as release %" PRIu64, r->model, r->version,
			r->counter);
	return 0;
}

static void raise_mark(struct lode_trust_mark *m, const struct lode_trust_release *r)
{
	bool newest = m->epoch < r->epoch || r->counter >= m->counter;
	if (m->epoch < r->epoch)
		m->floor = 0;
	m->epoch = r->epoch;
	m->floor = LODE_MAX(m->floor, r->floor);
	if (!newest)
		return;
	m->counter = r->counter;
	memcpy(m->sha256, r->sha256, sizeof(m->sha256));
}

/* ---- releases ---- */

static bool same_kind(const struct lode_trust_kind *a, const struct lode_trust_kind *b)
{
	return !strcmp(a->role, b->role) && !strcmp(a->schema, b->schema) &&
	       !strcmp(a->schema_sha256, b->schema_sha256) && !strcmp(a->network, b->network);
}

static int within(const struct lode_trust_delegation *d, const struct lode_trust_release *r,
	struct lode_err *err)
{
	if (strcmp(d->model, r->model) != 0 || d->version != r->delegation || d->epoch != r->epoch)
		return lode_err_set(err, -EPERM,
			"%s %s goes by delegation %" PRIu64 ", which is not the one that came",
			r->model, r->version, r->delegation);
	if (r->counter < d->counter_first || r->counter > d->counter_last)
		return lode_err_set(err, -EPERM,
			"%s %s: the delegation is for releases %" PRIu64 " to %" PRIu64
			", not for %" PRIu64,
			r->model, r->version, d->counter_first, d->counter_last, r->counter);
	if (!same_kind(&d->kind, &r->kind))
		return lode_err_set(err, -EPERM,
			"%s %s: the delegation is for %s weights of schema %s and network "
			"\"%.120s\"",
			r->model, r->version, d->kind.role, d->kind.schema, d->kind.network);
	return 0;
}

/* A delegation takes back older ones as soon as it was seen, used or not. */
static int take_delegation(struct lode_trust_state *s, const json_t *envelope,
	struct lode_trust_delegation *d, int64_t now_s, struct lode_err *err)
{
	int rc =
		envelope_check(envelope, DOC_DELEGATION, &s->root.release, "the release keys", err);
	json_t *doc = rc ? NULL : envelope_payload(envelope, DOC_DELEGATION, err);
	if (!rc)
		rc = doc ? delegation_from(d, doc, err) : err->code;
	json_decref(doc);
	struct lode_trust_mark *m = rc ? NULL : find_mark(s, d->model);
	if (rc || !m)
		return rc ? rc
			  : lode_err_set(
				    err, -ENOMEM, "more than %d models", LODE_TRUST_MODELS_MAX);
	if (d->version < m->delegation)
		return lode_err_set(err, -ESTALE,
			"delegation %" PRIu64 " of %s was taken back by %" PRIu64, d->version,
			d->model, m->delegation);
	m->delegation = d->version;
	return check_time("the delegation", d->expires_s, now_s, err);
}

static int check_signers(struct lode_trust_state *s, const json_t *chain,
	const struct lode_trust_release *r, int64_t now_s, struct lode_err *err)
{
	const json_t *envelope = json_object_get(chain, "release");
	const json_t *by = json_object_get(chain, "delegation");
	struct lode_trust_delegation d;
	if (!r->delegation)
		return envelope_check(
			envelope, DOC_RELEASE, &s->root.release, "the release keys", err);
	int rc = take_delegation(s, by, &d, now_s, err);
	struct lode_trust_role one = {.threshold = 1, .n_keys = 1};
	if (!rc) {
		memcpy(one.keys[0], d.key, sizeof(d.key));
		rc = envelope_check(envelope, DOC_RELEASE, &one, "the delegated key", err);
	}
	return rc ? rc : within(&d, r, err);
}

static int check_name(const struct lode_trust_release *r, const char *model, const char *version,
	struct lode_err *err)
{
	if ((!model || !strcmp(r->model, model)) && (!version || !strcmp(r->version, version)))
		return 0;
	return lode_err_set(err, -EPERM, "the release is of %s %s, %s %s was asked for", r->model,
		r->version, model ? model : "any model", version ? version : "");
}

static int judge_release(struct lode_trust_state *s, const json_t *chain,
	const struct lode_trust_release *r, int64_t now_s, struct lode_err *err)
{
	int rc = check_signers(s, chain, r, now_s, err);
	if (!rc && r->epoch != s->root.epoch)
		rc = lode_err_set(err, -ESTALE,
			"%s %s is of epoch %" PRIu64 ", the root says %" PRIu64, r->model,
			r->version, r->epoch, s->root.epoch);
	if (!rc)
		rc = check_time("the release", r->expires_s, now_s, err);
	struct lode_trust_mark *m = rc ? NULL : find_mark(s, r->model);
	if (!rc && !m)
		rc = lode_err_set(err, -ENOMEM, "more than %d models", LODE_TRUST_MODELS_MAX);
	if (!rc)
		rc = check_mark(m, r, err);
	if (rc)
		return rc;
	raise_mark(m, r);
	m->expires_s = r->expires_s;
	if (!r->delegation)
		s->newest_s = LODE_MAX(s->newest_s, r->issued_s);
	return 0;
}

static int judge(struct lode_trust_state *s, const json_t *chain, const char *model,
	const char *version, int64_t now_s, struct lode_trust_release *r, struct lode_err *err)
{
	int rc = follow_roots(s, json_object_get(chain, "roots"), err);
	now_s = LODE_MAX(now_s, s->newest_s);
	if (!rc)
		rc = check_time("the root", s->root.expires_s, now_s, err);
	json_t *doc =
		rc ? NULL : envelope_payload(json_object_get(chain, "release"), DOC_RELEASE, err);
	if (!rc)
		rc = doc ? release_from(r, doc, err) : err->code;
	json_decref(doc);
	if (!rc)
		rc = check_name(r, model, version, err);
	return rc ? rc : judge_release(s, chain, r, now_s, err);
}

int lode_trust_judge(const struct lode_trust_state *state, const char *chain, size_t len,
	const char *model, const char *version, int64_t now_s, struct lode_trust_state *next,
	struct lode_trust_release *release, struct lode_err *err)
{
	*next = (struct lode_trust_state){0};
	if (!state->root_text)
		return lode_err_set(err, -EKEYREJECTED, "no root is trusted: nothing can be");
	char *root_text = strdup(state->root_text);
	if (!root_text)
		return lode_err_set(err, -ENOMEM, "no memory to judge a release");
	*next = *state;
	next->root_text = root_text;
	json_t *c = parse_object(chain, len, LODE_TRUST_CHAIN_MAX, "chain", err);
	int rc = c ? judge(next, c, model, version, now_s, release, err) : err->code;
	json_decref(c);
	return rc;
}
