/* SPDX-License-Identifier: BSD-3-Clause */
#include "sql.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#define PARAMS_MAX 12

struct sql {
	PGconn *conn;
	bool in_transaction;
};

static int fail(struct sql *db, const PGresult *res, const char *what, struct lode_err *err)
{
	const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	int rc = -EIO;
	/* A row, or a table that another process has just made: IF NOT EXISTS looks before it makes. */
	if (state && (!strcmp(state, "23505") || !strcmp(state, "42P07")))
		rc = -EEXIST;
	/* Overtaken (serialization failure, deadlock), or a statement before this one was. */
	else if (state &&
		 (!strcmp(state, "40001") || !strcmp(state, "40P01") || !strcmp(state, "25P02")))
		rc = -EAGAIN;
	else if (state && !strcmp(state, "53100"))
		rc = -ENOSPC;
	else if (PQstatus(db->conn) == CONNECTION_BAD)
		rc = -EAGAIN;
	return lode_err_set(err, rc, "PostgreSQL: %s: %s", what, PQerrorMessage(db->conn));
}

static int64_t row_integer(const struct sql_row *r, int col)
{
	return strtoll(PQgetvalue(r->at, r->idx, col), NULL, 10);
}

static const char *row_text(const struct sql_row *r, int col)
{
	return PQgetvalue(r->at, r->idx, col);
}

/* A manager outlives restarts of its database. What was in a transaction is lost and said: the rest of it must not run
 * on a new connection as if nothing had been before. */
static int reconnect(struct sql *db, const char *text, struct lode_err *err)
{
	if (PQstatus(db->conn) != CONNECTION_BAD)
		return 0;
	if (db->in_transaction && strcmp(text, "ROLLBACK") != 0)
		return lode_err_set(err, -EAGAIN, "PostgreSQL: the connection was lost");
	PQreset(db->conn);
	return 0;
}

static int run(struct sql *db, const char *text, const struct sql_value *params, unsigned n_params,
	sql_row_fn *fn, void *ctx, struct lode_err *err)
{
	const char *values[PARAMS_MAX];
	char numbers[PARAMS_MAX][24];
	for (unsigned i = 0; i < n_params; i++) {
		snprintf(numbers[i], sizeof(numbers[i]), "%" PRId64, params[i].i);
		values[i] = params[i].kind == SQL_INT ? numbers[i] : params[i].s;
	}
	int rc = reconnect(db, text, err);
	if (rc)
		return rc;
	PGresult *res = PQexecParams(db->conn, text, (int)n_params, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(res);
	bool commit = !strcmp(text, "COMMIT");
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		rc = fail(db, res, text, err);
	/* A transaction in which a statement failed is rolled back by COMMIT, without an error. */
	else if (commit && strcmp(PQcmdStatus(res), "COMMIT") != 0)
		rc = lode_err_set(err, -EAGAIN, "PostgreSQL: the transaction had failed before");
	if (commit || !strcmp(text, "ROLLBACK"))
		db->in_transaction = false;
	for (int i = 0; fn && !rc && i < PQntuples(res); i++)
		rc = fn(ctx, &(struct sql_row){row_integer, row_text, res, i});
	PQclear(res);
	return rc;
}

static int begin(struct sql *db, bool durable, struct lode_err *err)
{
	int rc = run(db, "BEGIN ISOLATION LEVEL SERIALIZABLE", NULL, 0, NULL, NULL, err);
	db->in_transaction = rc == 0;
	if (!rc && !durable)
		rc = run(db, "SET LOCAL synchronous_commit = off", NULL, 0, NULL, NULL, err);
	return rc;
}

static void close_db(struct sql *db)
{
	PQfinish(db->conn);
	free(db);
}

static void drop_notice(void *ctx, const PGresult *res)
{
	(void)ctx, (void)res;
}

static int open_db(const char *url, struct sql **out, struct lode_err *err)
{
	struct sql *db = calloc(1, sizeof(*db));
	if (!db)
		return lode_err_set(err, -ENOMEM, "no memory for the database");
	db->conn = PQconnectdb(url);
	if (PQstatus(db->conn) != CONNECTION_OK) {
		int rc = lode_err_set(err, -ENOTCONN, "PostgreSQL: %s", PQerrorMessage(db->conn));
		close_db(db);
		return rc;
	}
	PQsetNoticeReceiver(db->conn, drop_notice, NULL);
	*out = db;
	return 0;
}

const struct sql_driver sql_postgres = {
	open_db, close_db, run, begin, "TEXT COLLATE \"C\"", "BIGSERIAL PRIMARY KEY"};
