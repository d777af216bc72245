/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_model.h"

#include <math.h>

Test(schema, hashes_tell_schemas_apart)
{
	const struct lode_schema *all[] = {
		&lode_schema_oxidize_trainer, &lode_schema_oxidize_seed, &lode_schema_oxidize_drl};
	uint8_t hash[3][LODE_SHA256_BYTES], other[LODE_SHA256_BYTES];
	for (int i = 0; i < 3; i++)
		lode_schema_hash(all[i], hash[i]);
	cr_assert_neq(memcmp(hash[0], hash[1], 32), 0);
	cr_assert_neq(memcmp(hash[0], hash[2], 32), 0);
	/* every part counts */
	for (int part = 0; part < 7; part++) {
		struct lode_feature f[8];
		memcpy(f, all[0]->features, sizeof(f));
		struct lode_schema changed = {"oxidize-trainer/1", 8, f};
		switch (part) {
		case 0:
			changed.name = "oxidize-trainer/2";
			break;
		case 1:
			f[3].name = "loss";
			break;
		case 2:
			f[0].unit = "ms";
			break;
		case 3:
			f[7].scale = 1;
			break;
		case 4:
			f[7].offset = 1;
			break;
		case 5:
			f[1].low = -1;
			break;
		default:
			f[1].high = 2;
			break;
		}
		lode_schema_hash(&changed, other);
		cr_expect_neq(memcmp(hash[0], other, 32), 0, "part %d", part);
	}
}

Test(schema, normalises_and_clips)
{
	const double raw[8] = {250000, 1e9, 2.5e8, .5, NAN, -1, 5000, 7};
	float out[8];
	lode_schema_normalise(&lode_schema_oxidize_trainer, raw, out);
	const float expected[8] = {.5f, 1, .25f, .5f, 0, 0, .5f, 0};
	for (int i = 0; i < 8; i++)
		cr_assert_float_eq(out[i], expected[i], 1e-6f, "%d: %g", i, (double)out[i]);
}

Test(schema, samples_stay_in_range_and_fill_it)
{
	float in[200 * 20 * 8], low[8], high[8];
	for (int i = 0; i < 8; i++) {
		low[i] = INFINITY;
		high[i] = -INFINITY;
	}
	lode_schema_sample(&lode_schema_oxidize_seed, 20, 1, 200, in);
	for (int i = 0; i < 200 * 20 * 8; i++) {
		const struct lode_feature *f = &lode_schema_oxidize_seed.features[i % 8];
		cr_assert(in[i] >= f->low && in[i] <= f->high);
		low[i % 8] = fminf(low[i % 8], in[i]);
		high[i % 8] = fmaxf(high[i % 8], in[i]);
	}
	for (int i = 0; i < 8; i++) {
		const struct lode_feature *f = &lode_schema_oxidize_seed.features[i];
		cr_assert_gt(high[i] - low[i], .9f * (f->high - f->low));
	}
}

static void expect_network(const struct lode_nn_desc *desc)
{
	char text[LODE_NETWORK_TEXT_BYTES], again[LODE_NETWORK_TEXT_BYTES];
	struct lode_nn_desc back;
	struct lode_err err = {0};
	lode_network_print(desc, text);
	cr_assert_eq(lode_network_parse(text, &back, &err), 0, "%s: %s", text, err.msg);
	lode_network_print(&back, again);
	cr_assert_str_eq(again, text);
	cr_assert_eq(lode_nn_macs(&back), lode_nn_macs(desc));
}

Test(network, text_reads_back)
{
	const uint16_t width[] = {64, 64, 32, 2};
	struct lode_nn_desc d = lode_nn_desc_transformer();
	expect_network(&d);
	d = lode_nn_desc_transformer_legacy();
	expect_network(&d);
	d = lode_nn_desc_lstm(8, 20, 64, 2);
	d.output = LODE_NN_OUT_SIGMOID_FIRST;
	expect_network(&d);
	d = lode_nn_desc_mlp(8, 20, width, 4, LODE_NN_OUT_SOFTMAX);
	expect_network(&d);
}

Test(network, odd_texts_are_refused)
{
	static const char *const cases[][2] = {
		{"", "key=value is expected"},
		{"kind=mlp", "'n_in' is missing"},
		{"kind=mlp n_in=8 n_steps=1 n_out=2 output=linear activation=relu", "'width'"},
		{"kind=lstm n_in=8 n_steps=1 n_out=2 output=linear n_hidden=4 width=2", "'width'"},
		{"kind=lstm n_in=8 n_steps=1 n_out=2 output=linear n_hidden=4 d_ffn=2",
			"'d_ffn' is not allowed"},
		{"kind=gru n_in=8", "kind cannot be 'gru'"},
		{"kind=mlp kind=mlp", "'kind' occurs twice"},
		{"kind=mlp n_in=08", "n_in cannot be '08'"},
		{"kind=mlp n_in=-8", "n_in cannot be '-8'"},
		{"kind=mlp n_in=65536", "n_in cannot be '65536'"},
		{"kind=mlp colour=red", "'colour' is unknown"},
		{"kind=mlp width=1,,2", "width cannot be"},
		{"kind=mlp width=1,2,3,4,5,6,7", "width cannot be"},
		{"kind=mlp n_in=8 n_steps=1 n_out=3 output=linear activation=relu width=4,2",
			"n_out"},
		{"kind=mlp n_in=8 n_steps=1 n_out=2 output=linear activation=relu width=9999,2",
			"1024"},
	};
	struct lode_nn_desc d;
	struct lode_err err;
	for (size_t i = 0; i < LODE_ARRAY_LEN(cases); i++) {
		cr_assert_lt(lode_network_parse(cases[i][0], &d, &err), 0, "%s", cases[i][0]);
		cr_expect(strstr(err.msg, cases[i][1]), "'%s' expected in '%s'", cases[i][1],
			err.msg);
	}
}
