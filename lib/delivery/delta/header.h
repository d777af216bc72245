/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "format.h"

/* Total size of the files; UINT64_MAX when it does not fit. */
uint64_t files_size(const struct lode_delta_file *f, uint32_t n);
/* Appends the header of info; header_bytes is computed. */
void header_write(const struct lode_delta_info *info, struct buf *out);
/* Whether a name may be used as a file: one component of [A-Za-z0-9._-] without leading dot. */
bool file_name_ok(const char *name);
