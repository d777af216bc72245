/* SPDX-License-Identifier: BSD-3-Clause */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

#define SCHEMA_VERSION 1
#define ATTEMPTS       8

int store_run(struct lode_store *s, const char *text, const struct sql_value *params,
	unsigned n_params, sql_row_fn *fn, void *ctx, struct lode_err *err)
{
	return s->driver->run(s->db, text, params, n_params, fn, ctx, err);
}

static int take_integer(void *ctx, const struct sql_row *row)
{
	*(int64_t *)ctx = row->integer(row, 0);
	return 0;
}

static int make_tables(struct lode_store *s, struct lode_err *err)
{
	const char *t = s->driver->text_type;
	char text[4][512];
	snprintf(text[0], sizeof(text[0]),
		"CREATE TABLE IF NOT EXISTS docs (kind INTEGER NOT NULL, parent %s NOT NULL, id %s "
		"NOT "
		"NULL, tag %s NOT NULL, rev BIGINT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (kind, "
		"parent, id))",
		t, t, t);
	snprintf(text[1], sizeof(text[1]),
		"CREATE INDEX IF NOT EXISTS docs_by_tag ON docs (kind, tag, parent, id)");
	snprintf(text[2], sizeof(text[2]),
		"CREATE TABLE IF NOT EXISTS audit (seq %s, time_ms BIGINT NOT NULL, actor TEXT NOT "
		"NULL, action TEXT NOT NULL, object TEXT NOT NULL, detail TEXT NOT NULL, hash TEXT "
		"NOT "
		"NULL)",
		s->driver->seq_type);
	snprintf(text[3], sizeof(text[3]),
		"CREATE TABLE IF NOT EXISTS schema_version (row_id INTEGER PRIMARY KEY, version "
		"INTEGER "
		"NOT NULL)");
	int rc = 0;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(text) && !rc; i++)
		rc = store_run(s, text[i], NULL, 0, NULL, NULL, err);
	return rc;
}

static int check_version(struct lode_store *s, struct lode_err *err)
{
	const struct sql_value v = SQL_I(SCHEMA_VERSION);
	int64_t found = 0;
	int rc = store_run(
		s, "SELECT version FROM schema_version", NULL, 0, take_integer, &found, err);
	if (!rc && !found)
		return store_run(s,
			"INSERT INTO schema_version (row_id, version) VALUES (1, $1) ON CONFLICT "
			"(row_id) DO "
			"NOTHING",
			&v, 1, NULL, NULL, err);
	if (!rc && found > SCHEMA_VERSION)
		return lode_err_set(err, -ENOTSUP,
			"the database has tables of version %d, this program knows up to %d: a "
			"newer "
			"manager has been here",
			(int)found, SCHEMA_VERSION);
	return rc;
}

int lode_store_open(const char *url, struct lode_store **out, struct lode_err *err)
{
	struct lode_store *s = calloc(1, sizeof(*s));
	if (!s)
		return lode_err_set(err, -ENOMEM, "no memory for the store");
	bool postgres = !strncmp(url, "postgres://", 11) || !strncmp(url, "postgresql://", 13);
	s->driver = postgres ? &sql_postgres : &sql_sqlite;
	int rc = s->driver->open(url, &s->db, err);
	/* Managers that start together on an empty database make the same tables: each statement can collide. */
	if (!rc)
		rc = make_tables(s, err);
	for (unsigned i = 0; i < ATTEMPTS && (rc == -EEXIST || rc == -EAGAIN); i++)
		rc = make_tables(s, err);
	if (!rc)
		rc = check_version(s, err);
	if (rc) {
		lode_store_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void lode_store_close(struct lode_store *s)
{
	if (!s)
		return;
	if (s->db)
		s->driver->close(s->db);
	free(s);
}

int lode_store_begin(struct lode_store *s, bool durable, struct lode_err *err)
{
	int rc = s->driver->begin(s->db, durable, err);
	s->in_transaction = rc == 0;
	return rc;
}

int lode_store_commit(struct lode_store *s, struct lode_err *err)
{
	int rc = store_run(s, "COMMIT", NULL, 0, NULL, NULL, err);
	if (rc)
		lode_store_rollback(s);
	s->in_transaction = false;
	return rc;
}

void lode_store_rollback(struct lode_store *s)
{
	struct lode_err ignored;
	store_run(s, "ROLLBACK", NULL, 0, NULL, NULL, &ignored);
	s->in_transaction = false;
}

void lode_store_doc_clear(struct lode_store_doc *doc)
{
	free(doc->text);
	*doc = (struct lode_store_doc){0};
}

static void copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

/* Columns: parent, id, tag, rev, doc. The text stays the database's. */
static void read_row(const struct sql_row *row, struct lode_store_doc *doc)
{
	copy(doc->parent, sizeof(doc->parent), row->text(row, 0));
	copy(doc->id, sizeof(doc->id), row->text(row, 1));
	copy(doc->tag, sizeof(doc->tag), row->text(row, 2));
	doc->rev = row->integer(row, 3);
	doc->text = (char *)row->text(row, 4);
}

static int take_doc(void *ctx, const struct sql_row *row)
{
	struct lode_store_doc *doc = ctx;
	read_row(row, doc);
	doc->text = strdup(doc->text);
	return doc->text ? 0 : -ENOMEM;
}

int lode_store_get(struct lode_store *s, enum lode_store_kind kind, const char *parent,
	const char *id, struct lode_store_doc *doc, struct lode_err *err)
{
	const struct sql_value v[] = {SQL_I(kind), SQL_T(parent), SQL_T(id)};
	*doc = (struct lode_store_doc){0};
	int rc = store_run(s,
		"SELECT parent, id, tag, rev, doc FROM docs WHERE kind = $1 AND parent = $2 AND id "
		"= $3",
		v, 3, take_doc, doc, err);
	if (!rc && !doc->text)
		rc = lode_err_set(
			err, -ENOENT, "%s%s%s is not there", parent, *parent ? "/" : "", id);
	return rc;
}

static int put_new(struct lode_store *s, const struct sql_value *v, struct lode_err *err)
{
	int64_t rev = 0;
	int rc = store_run(s,
		"INSERT INTO docs (kind, parent, id, tag, rev, doc) VALUES ($1, $2, $3, $4, 1, $5) "
		"ON "
		"CONFLICT (kind, parent, id) DO NOTHING RETURNING rev",
		v, 5, take_integer, &rev, err);
	return rc || rev ? rc : lode_err_set(err, -EEXIST, "%s is there already", v[2].s);
}

static int put_any(struct lode_store *s, const struct sql_value *v, struct lode_err *err)
{
	return store_run(s,
		"INSERT INTO docs (kind, parent, id, tag, rev, doc) VALUES ($1, $2, $3, $4, 1, $5) "
		"ON "
		"CONFLICT (kind, parent, id) DO UPDATE SET tag = excluded.tag, doc = excluded.doc, "
		"rev = "
		"docs.rev + 1",
		v, 5, NULL, NULL, err);
}

static int put_if(struct lode_store *s, const struct sql_value *v, struct lode_err *err)
{
	int64_t rev = 0;
	int rc = store_run(s,
		"UPDATE docs SET tag = $4, doc = $5, rev = rev + 1 WHERE kind = $1 AND parent = $2 "
		"AND id "
		"= $3 AND rev = $6 RETURNING rev",
		v, 6, take_integer, &rev, err);
	return rc || rev ? rc : lode_err_set(err, -ESTALE, "%s has changed meanwhile", v[2].s);
}

int lode_store_put(struct lode_store *s, enum lode_store_kind kind, const char *parent,
	const char *id, const char *tag, const char *text, int64_t rev, struct lode_err *err)
{
	if (!*id || strlen(parent) >= LODE_STORE_ID_MAX || strlen(id) >= LODE_STORE_ID_MAX ||
		strlen(tag) >= LODE_STORE_TAG_MAX || strlen(text) > LODE_STORE_DOC_MAX)
		return lode_err_set(err, -EINVAL,
			"a document of %zu bytes named '%.40s': names have 1 to %d bytes, "
			"documents up to %u",
			strlen(text), id, LODE_STORE_ID_MAX - 1, LODE_STORE_DOC_MAX);
	const struct sql_value v[] = {
		SQL_I(kind), SQL_T(parent), SQL_T(id), SQL_T(tag), SQL_T(text), SQL_I(rev)};
	if (rev == LODE_STORE_NEW)
		return put_new(s, v, err);
	return rev == LODE_STORE_ANY_REV ? put_any(s, v, err) : put_if(s, v, err);
}

int lode_store_delete(struct lode_store *s, enum lode_store_kind kind, const char *parent,
	const char *id, struct lode_err *err)
{
	const struct sql_value v[] = {SQL_I(kind), SQL_T(parent), SQL_T(id)};
	int64_t rev = 0;
	int rc = store_run(s,
		"DELETE FROM docs WHERE kind = $1 AND parent = $2 AND id = $3 RETURNING rev", v, 3,
		take_integer, &rev, err);
	return rc || rev ? rc : lode_err_set(err, -ENOENT, "%s is not there", id);
}

struct list {
	lode_store_fn *fn;
	void *ctx;
};

static int list_row(void *ctx, const struct sql_row *row)
{
	struct list *l = ctx;
	struct lode_store_doc doc;
	read_row(row, &doc);
	return l->fn(l->ctx, &doc);
}

#define MATCH "kind = $1 AND ($2 = 0 OR parent = $3) AND ($4 = 0 OR tag = $5)"

int lode_store_list(struct lode_store *s, enum lode_store_kind kind,
	const struct lode_store_query *q, lode_store_fn *fn, void *ctx, struct lode_err *err)
{
	const char *after_parent = q->after_parent ? q->after_parent : q->parent ? q->parent : "";
	const struct sql_value v[] = {SQL_I(kind), SQL_I(q->parent != NULL),
		SQL_T(q->parent ? q->parent : ""), SQL_I(q->tag != NULL),
		SQL_T(q->tag ? q->tag : ""), SQL_T(after_parent),
		SQL_T(q->after_id ? q->after_id : ""), SQL_I(q->limit ? q->limit : INT32_MAX)};
	struct list l = {fn, ctx};
	return store_run(s,
		"SELECT parent, id, tag, rev, doc FROM docs WHERE " MATCH
		" AND (parent, id) > ($6, $7) ORDER BY parent, id LIMIT $8",
		v, 8, list_row, &l, err);
}

int64_t lode_store_count(struct lode_store *s, enum lode_store_kind kind, const char *parent,
	const char *tag, struct lode_err *err)
{
	const struct sql_value v[] = {SQL_I(kind), SQL_I(parent != NULL),
		SQL_T(parent ? parent : ""), SQL_I(tag != NULL), SQL_T(tag ? tag : "")};
	int64_t n = 0;
	int rc =
		store_run(s, "SELECT COUNT(*) FROM docs WHERE " MATCH, v, 5, take_integer, &n, err);
	return rc ? rc : n;
}
