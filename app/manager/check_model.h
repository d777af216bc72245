/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_base.h"

/* Loads a model file as the gateway will, golden vectors and all. -errno with the reason. */
int check_model(void *ctx, const char *path, struct lode_err *err);
