/* SPDX-License-Identifier: BSD-3-Clause */
/* engine: what the compression oracle sees of a packet. Eight features from its first 256 payload bytes, for
 * packets of flows that are still undecided; a network of role "oracle" makes classes of them (Skip, Light,
 * Aggressive, RohcOnly). Pure functions, any thread, no allocation. */
#pragma once

#include "lode_base.h"
#include "lode_model.h"

#define LODE_ORACLE_FEATURES 8
#define LODE_ORACLE_SAMPLE_BYTES \
	256 /* of the payload, from its start; what follows is not looked at */

/* Schema "oracle/1", in the order of the vector: packet size, byte entropy, the first eight bytes as a
 * number, the shares of the four most frequent bytes, most falling; whether 80 % of the
 * first 128 bytes are printable. */
extern const struct lode_schema lode_schema_oracle;

/* Normalised as the schema says. payload: what the codec would get, n_payload bytes, 0 allowed;
 * packet_bytes: the whole packet. Sums are integers and every float is one operation, so the result has the
 * same bits everywhere. */
void lode_oracle_features(const uint8_t *payload, uint32_t n_payload, uint32_t packet_bytes,
	float features[LODE_ORACLE_FEATURES]);

/* The same in plain steps: count, sort, sum. */
void lode_oracle_features_reference(const uint8_t *payload, uint32_t n_payload,
	uint32_t packet_bytes, float features[LODE_ORACLE_FEATURES]);
