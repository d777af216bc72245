/* SPDX-License-Identifier: BSD-3-Clause */
/* The little SQL that both databases speak alike. Parameters are $1, $2 ... in the text. */
#pragma once

#include "lode_store.h"

enum sql_kind { SQL_INT, SQL_TEXT };

struct sql_value {
	enum sql_kind kind;
	int64_t i;
	const char *s;
};
#define SQL_I(v) ((struct sql_value){SQL_INT, (v), NULL})
#define SQL_T(v) ((struct sql_value){SQL_TEXT, 0, (v)})

/* One row of an answer: valid inside the callback. */
struct sql_row {
	int64_t (*integer)(const struct sql_row *r, int col);
	const char *(*text)(const struct sql_row *r, int col); /* "" for NULL */
	void *at;
	int idx;
};
typedef int sql_row_fn(void *ctx, const struct sql_row *row);

struct sql;

struct sql_driver {
	int (*open)(const char *url, struct sql **out, struct lode_err *err);
	void (*close)(struct sql *db);
	/* Runs one statement. A row callback that returns not 0 ends it with that code. -EEXIST: a key is
	 * there already; -EAGAIN: another process was faster; -EIO with the database's words. */
	int (*run)(struct sql *db, const char *text, const struct sql_value *params,
		unsigned n_params, sql_row_fn *fn, void *ctx, struct lode_err *err);
	int (*begin)(struct sql *db, bool durable, struct lode_err *err);
	const char *text_type; /* a text column that orders by bytes */
	const char *seq_type;  /* a key that counts up by itself */
};
extern const struct sql_driver sql_sqlite, sql_postgres;
