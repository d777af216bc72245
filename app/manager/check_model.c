/* SPDX-License-Identifier: BSD-3-Clause */
#include "check_model.h"
#include "lode_model.h"
#include "lode_schemas.h"

int check_model(void *ctx, const char *path, struct lode_err *err)
{
	const struct lode_model_options options = {
		.schemas = lode_engine_schemas, .n_schemas = lode_engine_n_schemas};
	struct lode_model *m;
	(void)ctx;
	int rc = lode_model_load(&m, path, &options, err);
	if (!rc)
		lode_model_free(m);
	return rc;
}
