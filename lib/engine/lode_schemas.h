/* SPDX-License-Identifier: BSD-3-Clause */
/* engine: every feature schema that a decider of this room can feed. Whoever loads models gives this list
 * to lode_model_options, so that gateway, trainer and lodectl know the same files. */
#pragma once

#include "lode_model.h"

extern const struct lode_schema *const lode_engine_schemas[];
extern const unsigned lode_engine_n_schemas;
