/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes by their hash, which anything on the way may keep for ever, and the plan that says which of them an appliance
 * needs: the whole file, one patch, or a chain of patches, whichever is fewest bytes. */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOPS_MAX 4 /* patches in a row: each is applied to the whole file */

void blob_get(struct call *c)
{
	const char *sha = c->parts[0];
	int64_t n_bytes = lode_blob_name_ok(sha) ? blob_bytes(c->api, sha) : -ENOENT;
	if (n_bytes < 0) {
		answer_error(c, n_bytes == -ENOENT ? 404 : 503, "there are no bytes with the SHA-256 %.64s", sha);
		return;
	}
	c->reply->status = 200;
	c->reply->type = "application/octet-stream";
	snprintf(c->reply->blob, sizeof(c->reply->blob), "%s", sha);
	answer_header(c, "Cache-Control", "public, max-age=31536000, immutable");
}

/* Patches that are ready, as an edge list: target <- base. */
struct edge {
	char base[LODE_BLOB_HEX], patch[LODE_BLOB_HEX];
	uint64_t n_bytes;
};

struct edges {
	struct edge *e;
	size_t n, room;
};

static int add_edge(void *ctx, const struct lode_store_doc *doc)
{
	struct edges *y = ctx;
	json_t *v = json_loads(doc->text, 0, NULL);
	const json_t *patch = json_object_get(v, "patch");
	if (y->n == y->room) {
		size_t room = y->room ? 2 * y->room : 16;
		struct edge *e = realloc(y->e, room * sizeof(*e));
		if (!e) {
			json_decref(v);
			return -ENOMEM;
		}
		y->e = e;
		y->room = room;
	}
	if (*text_of(patch, "sha256")) {
		struct edge *e = &y->e[y->n++];
		snprintf(e->base, sizeof(e->base), "%s", doc->id);
		snprintf(e->patch, sizeof(e->patch), "%s", text_of(patch, "sha256"));
		e->n_bytes = (uint64_t)int_of(patch, "size_bytes");
	}
	json_decref(v);
	return 0;
}

/* One place of the search: to be able to make `sha`, and what follows it. */
struct place {
	char sha[LODE_BLOB_HEX];
	uint64_t n_bytes; /* from here to the target */
	unsigned hops;
	size_t next;	  /* the place the patch leads to */
	struct edge step; /* of that patch */
	bool done;
};

struct search {
	struct place *p;
	size_t n, room;
};

static struct place *place_of(struct search *s, const char *sha)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->p[i].sha, sha))
			return &s->p[i];
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 16;
		struct place *p = realloc(s->p, room * sizeof(*p));
		if (!p)
			return NULL;
		s->p = p;
		s->room = room;
	}
	struct place *p = &s->p[s->n++];
	*p = (struct place){.n_bytes = UINT64_MAX};
	snprintf(p->sha, sizeof(p->sha), "%s", sha);
	return p;
}

static size_t nearest(const struct search *s)
{
	size_t best = s->n;
	for (size_t i = 0; i < s->n; i++)
		if (!s->p[i].done && (best == s->n || s->p[i].n_bytes < s->p[best].n_bytes))
			best = i;
	return best;
}

/* Ways into the place `at` from all bases that have a patch to it. */
static int widen(struct lode_api *api, struct search *s, size_t at, struct lode_err *err)
{
	struct edges y = {0};
	char sha[LODE_BLOB_HEX];
	snprintf(sha, sizeof(sha), "%s", s->p[at].sha);
	struct lode_store_query q = {.parent = sha, .tag = "ready"};
	int rc = lode_store_list(api->store, LODE_DOC_DELTA, &q, add_edge, &y, err);
	for (size_t i = 0; i < y.n && !rc; i++) {
		struct place *p = place_of(s, y.e[i].base);
		uint64_t n_bytes = s->p[at].n_bytes + y.e[i].n_bytes;
		if (!p)
			rc = lode_err_set(err, -ENOMEM, "no memory for a plan");
		else if (n_bytes < p->n_bytes) {
			p->n_bytes = n_bytes;
			p->hops = s->p[at].hops + 1;
			p->next = at;
			p->step = y.e[i];
		}
	}
	free(y.e);
	return rc;
}

/* Dijkstra from the target back to the base, as long as it is shorter than the whole file. */
static int find_way(struct lode_api *api, struct search *s, const char *base, const char *target,
	uint64_t whole_bytes, size_t *at, struct lode_err *err)
{
	struct place *end = place_of(s, target);
	if (!end)
		return lode_err_set(err, -ENOMEM, "no memory for a plan");
	end->n_bytes = 0;
	for (;;) {
		*at = nearest(s);
		if (*at == s->n || s->p[*at].n_bytes >= whole_bytes)
			return -ENOENT;
		if (!strcmp(s->p[*at].sha, base))
			return 0;
		s->p[*at].done = true;
		int rc = s->p[*at].hops < HOPS_MAX ? widen(api, s, *at, err) : 0;
		if (rc)
			return rc;
	}
}

static json_t *steps_json(const struct search *s, size_t at)
{
	json_t *steps = json_array();
	for (; s->p[at].hops; at = s->p[at].next)
		json_array_append_new(steps,
			json_pack("{s:s,s:s,s:s,s:s,s:I}", "kind", "delta", "base", s->p[at].sha,
				"target", s->p[s->p[at].next].sha, "sha256", s->p[at].step.patch,
				"size_bytes", (json_int_t)s->p[at].step.n_bytes));
	return steps;
}

/* ?base=VERSION or ?base_sha256=HASH: what the appliance has. */
static void base_of(struct call *c, char sha[LODE_BLOB_HEX])
{
	struct lode_err err;
	const char *version = c->req->query(c->req->ctx, "base");
	const char *hash = c->req->query(c->req->ctx, "base_sha256");
	json_t *v = version && id_ok(version)
			    ? load(c->api, LODE_DOC_VERSION, c->parts[0], version, NULL, &err)
			    : NULL;
	const char *said = v ? text_of(v, "sha256") : hash ? hash : "";
	snprintf(sha, LODE_BLOB_HEX, "%s", lode_blob_name_ok(said) ? said : "");
	json_decref(v);
}

void version_plan(struct call *c)
{
	struct lode_err err;
	struct search s = {0};
	size_t at = 0;
	char base[LODE_BLOB_HEX];
	if (campaign_withholds(c, c->parts[0], c->parts[1]))
		return;
	json_t *v = load(c->api, LODE_DOC_VERSION, c->parts[0], c->parts[1], NULL, &err);
	if (!v) {
		answer_err(c, &err);
		return;
	}
	const char *sha = text_of(v, "sha256");
	int64_t whole_bytes = int_of(v, "size_bytes");
	base_of(c, base);
	if (!strcmp(base, sha)) /* who has lost count of what it has gets it whole */
		*base = 0;
	int rc =
		*base ? find_way(c->api, &s, base, sha, (uint64_t)whole_bytes, &at, &err) : -ENOENT;
	if (rc && rc != -ENOENT) {
		answer_err(c, &err);
	} else {
		json_t *steps = rc ? json_pack("[{s:s,s:s,s:s,s:I}]", "kind", "full", "target", sha,
					     "sha256", sha, "size_bytes", (json_int_t)whole_bytes)
				   : steps_json(&s, at);
		uint64_t n_bytes = 0;
		size_t i;
		json_t *step;
		json_array_foreach(steps, i, step) n_bytes += plan_sealed(c, step);
		if (*base && (rc || s.p[at].hops > 1))
			delta_want(c->api, base, sha, c->req->now_ms);
		answer(c, 200,
			json_pack("{s:s,s:I,s:I,s:o}", "sha256", sha, "size_bytes",
				(json_int_t)whole_bytes, "transfer_bytes", (json_int_t)n_bytes,
				"steps", steps));
	}
	free(s.p);
	json_decref(v);
}
