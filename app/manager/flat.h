/* SPDX-License-Identifier: BSD-3-Clause */
/* Configuration files of manager and agent: one YAML mapping of single values. */
#pragma once

#include "lode_base.h"

/* Takes one pair; NULL, or what is wrong with it: what is allowed, or that there is no such key. */
typedef const char *flat_fn(void *ctx, const char *key, const char *value);
/* Every pair of the file, in order; the words of a list come as one value with spaces between. -EINVAL
 * with file:line:column, key and what is wrong. */
int flat_load(const char *path, flat_fn *fn, void *ctx, struct lode_err *err);
