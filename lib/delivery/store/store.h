/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "sql.h"

struct lode_store {
	const struct sql_driver *driver;
	struct sql *db;
	bool in_transaction;
};

int store_run(struct lode_store *s, const char *text, const struct sql_value *params,
	unsigned n_params, sql_row_fn *fn, void *ctx, struct lode_err *err);
