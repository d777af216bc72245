/* SPDX-License-Identifier: BSD-3-Clause */
#include "sql.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define BUSY_TIMEOUT_MS 10000

struct sql {
	sqlite3 *db;
};

static int fail(struct sql *db, int code, const char *what, struct lode_err *err)
{
	int rc = -EIO;
	if (code == SQLITE_CONSTRAINT)
		rc = -EEXIST;
	else if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		rc = -EAGAIN;
	else if (code == SQLITE_FULL)
		rc = -ENOSPC;
	else if (code == SQLITE_NOMEM)
		rc = -ENOMEM;
	return lode_err_set(err, rc, "SQLite: %s: %s", what, sqlite3_errmsg(db->db));
}

static int64_t row_integer(const struct sql_row *r, int col)
{
	return sqlite3_column_int64(r->at, col);
}

static const char *row_text(const struct sql_row *r, int col)
{
	const char *s = (const char *)sqlite3_column_text(r->at, col);
	return s ? s : "";
}

static void bind_params(sqlite3_stmt *st, const struct sql_value *params, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char name[8];
		snprintf(name, sizeof(name), "$%u", i + 1);
		int at = sqlite3_bind_parameter_index(st, name);
		if (!at)
			continue;
		if (params[i].kind == SQL_INT)
			sqlite3_bind_int64(st, at, params[i].i);
		else
			sqlite3_bind_text(st, at, params[i].s, -1, SQLITE_STATIC);
	}
}

static int run(struct sql *db, const char *text, const struct sql_value *params, unsigned n_params,
	sql_row_fn *fn, void *ctx, struct lode_err *err)
{
	sqlite3_stmt *st;
	int code = sqlite3_prepare_v2(db->db, text, -1, &st, NULL);
	if (code != SQLITE_OK)
		return fail(db, code, text, err);
	bind_params(st, params, n_params);
	int rc = 0;
	while (!rc && (code = sqlite3_step(st)) == SQLITE_ROW)
		if (fn)
			rc = fn(ctx, &(struct sql_row){row_integer, row_text, st, 0});
	if (!rc && code != SQLITE_DONE)
		rc = fail(db, code, text, err);
	sqlite3_finalize(st);
	return rc;
}

/* In WAL mode NORMAL leaves out the sync at each commit: a power cut may take the last commits, whole. */
static int begin(struct sql *db, bool durable, struct lode_err *err)
{
	int rc = run(db, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL, 0,
		NULL, NULL, err);
	return rc ? rc : run(db, "BEGIN IMMEDIATE", NULL, 0, NULL, NULL, err);
}

static void close_db(struct sql *db)
{
	sqlite3_close(db->db);
	free(db);
}

static int open_db(const char *path, struct sql **out, struct lode_err *err)
{
	struct sql *db = calloc(1, sizeof(*db));
	if (!db)
		return lode_err_set(err, -ENOMEM, "no memory for the database");
	int code = sqlite3_open_v2(path, &db->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	int rc = code == SQLITE_OK ? 0 : fail(db, code, path, err);
	if (!rc) {
		sqlite3_busy_timeout(db->db, BUSY_TIMEOUT_MS);
		rc = run(db, "PRAGMA journal_mode=WAL", NULL, 0, NULL, NULL, err);
	}
	if (!rc)
		rc = run(db, "PRAGMA synchronous=FULL", NULL, 0, NULL, NULL, err);
	if (rc) {
		close_db(db);
		return rc;
	}
	*out = db;
	return 0;
}

const struct sql_driver sql_sqlite = {
	open_db, close_db, run, begin, "TEXT", "INTEGER PRIMARY KEY AUTOINCREMENT"};
