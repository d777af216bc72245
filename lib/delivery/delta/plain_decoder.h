/* SPDX-License-Identifier: BSD-3-Clause */
/* The format decoded the plain way: whole patch in memory, symbols searched for one by one, bits read one by
 * one, elements as signed numbers. It shares only the parsing of headers, ops and frequency tables and the
 * adaptive coder with the interpreter, which tests compare with it. */
#pragma once

#include "format.h"

/* Appends all target files, one after another. bases: all base files, one after another. Digests are not
 * checked; READ_PAD bytes behind the patch must be readable. Returns 0, -EBADMSG or -ENOMEM. */
int plain_apply(const uint8_t *patch, size_t len, const uint8_t *bases, uint64_t base_size,
	struct buf *out);
