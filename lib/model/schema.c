/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_model.h"

#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>

/* What the older trainer feeds; the published weights expect it. */
static const struct lode_feature trainer[] = {
	{"rtt", "us", 1 / 500000.0, 0, 0, 1},
	{"rtt_var", "us", 1 / 100000.0, 0, 0, 1},
	{"bandwidth", "bit/s", 1e-9, 0, 0, 1},
	{"loss_rate", "1", 1, 0, 0, 1},
	{"inflight", "packets", 1e-3, 0, 0, 1},
	{"buffer_occupancy", "1", 1, 0, 0, 1},
	{"ipg", "us", 1e-4, 0, 0, 1},
	{"zero", "1", 0, 0, 0, 0},
};
const struct lode_schema lode_schema_oxidize_trainer = {
	"oxidize-trainer/1", LODE_ARRAY_LEN(trainer), trainer};

/* What the older documentation says. */
static const struct lode_feature seed[] = {
	{"rtt", "us", 1e-6, 0, 0, 1},
	{"rtt_var", "us", 1 / 500000.0, 0, 0, 1},
	{"bandwidth", "bit/s", 1e-10, 0, 0, 1},
	{"loss_rate", "1", 1, 0, 0, 1},
	{"loss_trend", "1", 1, 0, -1, 1},
	{"inflight", "packets", 1e-4, 0, 0, 1},
	{"cwnd", "bytes", 1e-6, 0, 0, 1},
	{"buffer_occupancy", "1", 1, 0, 0, 1},
};
const struct lode_schema lode_schema_oxidize_seed = {"oxidize-seed/1", LODE_ARRAY_LEN(seed), seed};

/* DrlState in the order of its record; the values are normalised when they are recorded. */
static const struct lode_feature drl[] = {
	{"rtt_norm", "1", 1, 0, 0, 1},
	{"rtt_gradient", "1", 1, 0, -1, 1},
	{"throughput_norm", "1", 1, 0, 0, 1},
	{"loss_rate", "1", 1, 0, 0, 1},
	{"cwnd_norm", "1", 1, 0, 0, 1},
	{"inflight_norm", "1", 1, 0, 0, 1},
	{"buffer_occupancy", "1", 1, 0, 0, 1},
	{"time_in_state", "1", 1, 0, 0, 1},
};
const struct lode_schema lode_schema_oxidize_drl = {"oxidize-drl/1", LODE_ARRAY_LEN(drl), drl};

void lode_schema_hash(const struct lode_schema *schema, uint8_t sha256[LODE_SHA256_BYTES])
{
	char text[16384];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s\n", schema->name);
	for (unsigned i = 0; i < schema->n_features; i++) {
		const struct lode_feature *f = &schema->features[i];
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s|%s|%.9g|%.9g|%.9g|%.9g\n",
			f->name, f->unit, f->scale, f->offset, (double)f->low, (double)f->high);
		assert(n < sizeof(text));
	}
	SHA256((const uint8_t *)text, n, sha256);
}

void lode_schema_normalise(const struct lode_schema *schema, const double *raw, float *out)
{
	for (unsigned i = 0; i < schema->n_features; i++) {
		const struct lode_feature *f = &schema->features[i];
		double v = raw[i] * f->scale + f->offset;
		out[i] = v >= f->high ? f->high : v > f->low ? (float)v : f->low;
	}
}

void lode_schema_sample(const struct lode_schema *schema, unsigned n_steps, uint64_t seed_number,
	uint32_t n_rows, float *out)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, seed_number);
	unsigned n = schema->n_features;
	for (uint32_t row = 0; row < n_rows; row++, out += n * n_steps)
		for (unsigned i = 0; i < n; i++) {
			const struct lode_feature *f = &schema->features[i];
			float span = f->high - f->low;
			double level = lode_rng_unit(&rng), noise = lode_rng_unit(&rng);
			for (unsigned step = 0; step < n_steps; step++) {
				double v = level + noise * (lode_rng_unit(&rng) - level);
				out[step * n + i] = f->low + span * (float)v;
			}
		}
}
