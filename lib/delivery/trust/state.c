/* SPDX-License-Identifier: BSD-3-Clause */
#include "trust.h"

#include <stdlib.h>

void lode_trust_state_clear(struct lode_trust_state *state)
{
	free(state->root_text);
	*state = (struct lode_trust_state){0};
}

static json_t *mark_to(const struct lode_trust_mark *m)
{
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:s,s:I}", "model", m->model, "epoch",
		(json_int_t)m->epoch, "counter", (json_int_t)m->counter, "floor",
		(json_int_t)m->floor, "delegation", (json_int_t)m->delegation, "sha256", m->sha256,
		"expires", (json_int_t)m->expires_s);
}

const struct lode_trust_mark *lode_trust_mark(
	const struct lode_trust_state *state, const char *model)
{
	for (unsigned i = 0; i < state->n_marks; i++)
		if (!strcmp(state->marks[i].model, model))
			return &state->marks[i];
	return NULL;
}

char *lode_trust_state_print(const struct lode_trust_state *s)
{
	json_t *marks = json_array();
	for (unsigned i = 0; i < s->n_marks; i++)
		json_array_append_new(marks, mark_to(&s->marks[i]));
	json_t *doc = json_pack("{s:s,s:I,s:o,s:o*}", "anchor_sha256", s->anchor_sha256, "newest",
		(json_int_t)s->newest_s, "marks", marks, "root",
		s->root_text ? json_loads(s->root_text, 0, NULL) : NULL);
	char *text = json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	return text;
}

static int mark_from(struct lode_trust_mark *m, const json_t *doc, struct lode_err *err)
{
	*m = (struct lode_trust_mark){0};
	int rc = take_name(m->model, doc, "model", err);
	if (!rc)
		rc = take_number(&m->epoch, doc, "epoch", 0, err);
	if (!rc)
		rc = take_number(&m->counter, doc, "counter", 0, err);
	if (!rc)
		rc = take_number(&m->floor, doc, "floor", 0, err);
	if (!rc)
		rc = take_number(&m->delegation, doc, "delegation", 0, err);
	if (!rc)
		rc = take_time(&m->expires_s, doc, "expires", err);
	if (!rc && m->counter) /* 0: a delegation was seen, no release yet */
		rc = take_sha256(m->sha256, doc, "sha256", err);
	return rc;
}

static int marks_from(struct lode_trust_state *s, const json_t *doc, struct lode_err *err)
{
	const json_t *marks = json_object_get(doc, "marks"), *mark;
	size_t i;
	int rc = 0;
	if (json_array_size(marks) > LODE_TRUST_MODELS_MAX)
		return lode_err_set(err, -EBADMSG, "more than %d models", LODE_TRUST_MODELS_MAX);
	json_array_foreach(marks, i, mark)
	{
		rc = rc ? rc : mark_from(&s->marks[i], mark, err);
		s->n_marks++;
	}
	return rc;
}

static int take_root_text(struct lode_trust_state *s, const char *text, struct lode_err *err)
{
	int rc = lode_trust_root_read(text, strlen(text), &s->root, err);
	if (rc)
		return rc;
	s->root_text = strdup(text);
	return s->root_text ? 0 : lode_err_set(err, -ENOMEM, "no memory for a root");
}

/* A root that its own keys did not sign could never have been meant: a file cut or mixed up. */
static int take_anchor(struct lode_trust_state *s, const char *anchor, struct lode_err *err)
{
	int rc = take_root_text(s, anchor, err);
	json_t *envelope = rc ? NULL : json_loads(anchor, JSON_REJECT_DUPLICATES, NULL);
	if (!rc)
		rc = envelope ? envelope_check(
					envelope, DOC_ROOT, &s->root.root, "its own keys", err)
			      : lode_err_set(err, -EBADMSG, "root: no JSON object");
	json_decref(envelope);
	s->newest_s = s->root.issued_s;
	return rc;
}

/* Of what is signed: more signatures, or white space in the file, make no other root. */
static int root_sha256(const json_t *envelope, char sha256[LODE_TRUST_HEX])
{
	const char *payload = json_string_value(json_object_get(envelope, "payload"));
	return payload ? lode_trust_sha256(payload, strlen(payload), sha256) : -EBADMSG;
}

/* Did it begin at that root, or get as far as to it? */
static bool goes_back_to(const json_t *stored, const char *anchor_sha256)
{
	const char *began = json_string_value(json_object_get(stored, "anchor_sha256"));
	char current[LODE_TRUST_HEX];
	return (began && !strcmp(began, anchor_sha256)) ||
	       (!root_sha256(json_object_get(stored, "root"), current) &&
		       !strcmp(current, anchor_sha256));
}

static int take_stored(struct lode_trust_state *s, const char *stored, const char *anchor_sha256,
	struct lode_err *err)
{
	size_t max = LODE_TRUST_CHAIN_MAX;
	json_t *doc = parse_object(stored, strlen(stored), max, "what was accepted before", err);
	int rc = !doc ? err->code : goes_back_to(doc, anchor_sha256) ? 0 : -ESTALE;
	if (!rc)
		rc = take_time(&s->newest_s, doc, "newest", err);
	char *root = rc ? NULL : json_dumps(json_object_get(doc, "root"), JSON_COMPACT);
	if (!rc)
		rc = root ? take_root_text(s, root, err)
			  : lode_err_set(err, -EBADMSG, "what was accepted before has no root");
	if (!rc)
		rc = marks_from(s, doc, err);
	free(root);
	json_decref(doc);
	return rc;
}

int lode_trust_begin(struct lode_trust_state *state, const char *anchor, const char *stored,
	struct lode_err *err)
{
	char sha256[LODE_TRUST_HEX];
	*state = (struct lode_trust_state){0};
	json_t *envelope = parse_object(anchor, strlen(anchor), LODE_TRUST_CHAIN_MAX, "root", err);
	if (!envelope)
		return err->code;
	int rc = root_sha256(envelope, sha256);
	json_decref(envelope);
	if (rc)
		return lode_err_set(err, rc, "root: an envelope with a payload is expected");
	rc = -ESTALE;
	if (stored)
		rc = take_stored(state, stored, sha256, err);
	if (rc == -ESTALE) { /* nothing was accepted since this root was given */
		lode_trust_state_clear(state);
		rc = take_anchor(state, anchor, err);
	}
	if (rc) {
		lode_trust_state_clear(state);
		return rc;
	}
	memcpy(state->anchor_sha256, sha256, sizeof(sha256));
	return 0;
}
