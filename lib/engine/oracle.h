/* SPDX-License-Identifier: BSD-3-Clause */
/* What both ways of counting make of their counts. */
#pragma once

#include "lode_oracle.h"

#define TEXT_SAMPLE_BYTES 128u
#define ORACLE_TOP	  4 /* most frequent bytes that are told */

struct oracle_counts {
	uint32_t n;		  /* bytes in the sample */
	uint32_t entropy;	  /* of all of them together, 2^-20 bit */
	uint32_t n_text;	  /* printable or white space, in the first TEXT_SAMPLE_BYTES */
	uint32_t top[ORACLE_TOP]; /* falling */
};

/* out from counts and the first bytes. */
void oracle_finish(const struct oracle_counts *c, const uint8_t *payload, uint32_t packet_bytes,
	float out[LODE_ORACLE_FEATURES]);
