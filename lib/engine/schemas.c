/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_schemas.h"

#include "lode_loss.h"
#include "lode_oracle.h"

const struct lode_schema *const lode_engine_schemas[] = {
	&lode_schema_loss,
	&lode_schema_loss_1,
	&lode_schema_oracle,
	&lode_schema_oxidize_drl,
	&lode_schema_oxidize_trainer,
	&lode_schema_oxidize_seed,
};
const unsigned lode_engine_n_schemas = LODE_ARRAY_LEN(lode_engine_schemas);
