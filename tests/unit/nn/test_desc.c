/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_nn.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const uint16_t dqn_width[] = {128, 128, 6};

static void check_specs(const struct lode_nn_desc *d)
{
	struct lode_err err;
	cr_assert_eq(lode_nn_desc_check(d, &err), 0, "%s", err.msg);
	for (int f = LODE_NN_FORMAT_FP32; f <= LODE_NN_FORMAT_INT8; f++) {
		struct lode_nn_tensor specs[LODE_NN_MAX_TENSORS];
		unsigned n = lode_nn_specs(d, f, specs);
		cr_assert_leq(n, LODE_NN_MAX_TENSORS);
		for (unsigned i = 0; i < n; i++) {
			cr_assert_gt(lode_nn_tensor_bytes(&specs[i]), 0);
			cr_assert_eq(lode_nn_tensor_find(specs, n, specs[i].name), &specs[i],
				"%s is there twice", specs[i].name);
		}
	}
}

Test(desc, known_shapes)
{
	struct lode_nn_desc d[] = {
		lode_nn_desc_mlp(8, 1, dqn_width, 3, LODE_NN_OUT_LINEAR),
		lode_nn_desc_lstm(8, 20, 64, 1),
		lode_nn_desc_transformer_legacy(),
		lode_nn_desc_transformer(),
	};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(d); i++)
		check_specs(&d[i]);
	cr_expect_eq(lode_nn_macs(&d[0]), 18176);
	cr_expect_eq(lode_nn_macs(&d[1]), 368640 + 64);
}

/* Most tensors that any description can have fit the arrays. */
Test(desc, largest_lists_fit)
{
	const uint16_t width[LODE_NN_MAX_LAYERS] = {8, 8, 8, 8, 8, 8};
	struct lode_nn_desc mlp =
		lode_nn_desc_mlp(8, 1, width, LODE_NN_MAX_LAYERS, LODE_NN_OUT_SOFTMAX);
	struct lode_nn_desc tf = lode_nn_desc_transformer();
	check_specs(&mlp);
	check_specs(&tf);
}

Test(desc, limits_are_named)
{
	struct lode_err err;
	struct lode_nn_desc d = lode_nn_desc_transformer();
	d.d_model = 66;
	cr_expect_eq(lode_nn_desc_check(&d, &err), -EINVAL);
	cr_expect(strstr(err.msg, "d_model") && strstr(err.msg, "66"), "%s", err.msg);
	d = lode_nn_desc_lstm(8, 65, 64, 1);
	cr_expect_eq(lode_nn_desc_check(&d, &err), -EINVAL);
	cr_expect(strstr(err.msg, "n_steps"), "%s", err.msg);
	d = lode_nn_desc_mlp(8, 1, dqn_width, 3, LODE_NN_OUT_LINEAR);
	d.n_out = 7;
	cr_expect_eq(lode_nn_desc_check(&d, &err), -EINVAL);
	d = lode_nn_desc_mlp(100, 6, dqn_width, 3, LODE_NN_OUT_LINEAR);
	cr_expect_eq(lode_nn_desc_check(&d, &err), -EINVAL);
	d.kind = (enum lode_nn_kind)7;
	cr_expect_eq(lode_nn_desc_check(&d, &err), -EINVAL);
}

static float values[LODE_NN_MAX_HIDDEN * 4];

static unsigned tiny_mlp(struct lode_nn_desc *d, struct lode_nn_tensor *t)
{
	static const uint16_t width[] = {4, 2};
	*d = lode_nn_desc_mlp(3, 1, width, 2, LODE_NN_OUT_LINEAR);
	unsigned n = lode_nn_specs(d, LODE_NN_FORMAT_INT8, t);
	for (unsigned i = 0; i < LODE_ARRAY_LEN(values); i++)
		values[i] = 0.5f;
	for (unsigned i = 0; i < n; i++)
		t[i].data = values;
	return n;
}

Test(tensors, right_ones_pass)
{
	struct lode_nn_desc d;
	struct lode_nn_tensor t[LODE_NN_MAX_TENSORS];
	struct lode_err err;
	unsigned n = tiny_mlp(&d, t);
	cr_expect_eq(lode_nn_tensors_check(&d, LODE_NN_FORMAT_INT8, t, n, &err), 0, "%s", err.msg);
}

Test(tensors, wrong_ones_are_named)
{
	struct lode_nn_desc d;
	struct lode_nn_tensor t[LODE_NN_MAX_TENSORS];
	struct lode_err err;
	for (unsigned i = 0; i < tiny_mlp(&d, t); i++) {
		unsigned n = tiny_mlp(&d, t);
		t[i].dims[0]++;
		cr_expect_eq(lode_nn_tensors_check(&d, LODE_NN_FORMAT_INT8, t, n, &err), -EINVAL);
		cr_expect(strstr(err.msg, t[i].name), "%s", err.msg);
		n = tiny_mlp(&d, t);
		char name[LODE_NN_NAME_BYTES];
		memcpy(name, t[i].name, sizeof(name));
		t[i].name[0] = 'X';
		cr_expect_eq(lode_nn_tensors_check(&d, LODE_NN_FORMAT_INT8, t, n, &err), -EINVAL);
		cr_expect(strstr(err.msg, name), "%s", err.msg);
	}
	unsigned n = tiny_mlp(&d, t);
	t[n] = t[n - 1];
	cr_expect_eq(lode_nn_tensors_check(&d, LODE_NN_FORMAT_INT8, t, n + 1, &err), -EINVAL);
}

Test(tensors, values_must_be_finite_and_scales_positive)
{
	struct lode_nn_desc d;
	struct lode_nn_tensor t[LODE_NN_MAX_TENSORS];
	struct lode_err err;
	const float bad[] = {NAN, INFINITY, -INFINITY, 0};
	for (unsigned b = 0; b < LODE_ARRAY_LEN(bad); b++) {
		unsigned n = tiny_mlp(&d, t);
		values[1] = bad[b];
		cr_expect_eq(lode_nn_tensors_check(&d, LODE_NN_FORMAT_INT8, t, n, &err), -EINVAL);
	}
}

Test(isa, names_and_availability)
{
	for (unsigned i = LODE_NN_ISA_AUTO; i <= LODE_NN_NEON; i++)
		cr_expect_str_neq(lode_nn_isa_name((enum lode_nn_isa)i), "unknown");
	cr_expect_str_eq(lode_nn_isa_name((enum lode_nn_isa)(LODE_NN_NEON + 1)), "unknown");
	cr_expect(lode_nn_isa_available(LODE_NN_PORTABLE));
	cr_expect(lode_nn_isa_available(lode_nn_isa_best()));
}
