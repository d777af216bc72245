/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "make_model.h"
#include "model.h"

static struct lode_nn_desc all_descs(int i, enum lode_model_role *role)
{
	static const uint16_t window[] = {64, 64, 2}, oracle[] = {32, 32, 4};
	struct lode_nn_desc d;
	*role = LODE_MODEL_LOSS;
	switch (i) {
	case 0:
		return lode_nn_desc_transformer();
	case 1:
		return lode_nn_desc_transformer_legacy();
	case 2:
		return lode_nn_desc_lstm(8, 20, 64, 1);
	case 3:
		return lode_nn_desc_mlp(8, 20, window, 3, LODE_NN_OUT_SIGMOID_FIRST);
	case 4:
		*role = LODE_MODEL_DQN;
		return dqn_desc();
	case 5:
		*role = LODE_MODEL_PPO;
		return dqn_desc();
	default:
		*role = LODE_MODEL_ORACLE;
		d = lode_nn_desc_mlp(8, 1, oracle, 3, LODE_NN_OUT_SOFTMAX);
		return d;
	}
}

Test(load, every_kind_of_model_in_both_formats)
{
	for (int i = 0; i < 7; i++)
		for (int format = 0; format < 2; format++) {
			struct made_model made;
			struct lode_model *m;
			struct lode_err err = {0};
			enum lode_model_role role;
			struct lode_nn_desc desc = all_descs(i, &role);
			cr_assert_eq(make_model(&made, role, &desc, &lode_schema_oxidize_trainer,
					     (enum lode_nn_format)format, &err),
				0, "%d: %s", i, err.msg);
			cr_assert_eq(lode_model_load_memory(
					     &m, made.image, made.n_bytes, "made", NULL, &err),
				0, "%d: %s", i, err.msg);
			cr_assert_eq(m->role, role);
			cr_assert_eq(m->format, (enum lode_nn_format)format);
			cr_assert_str_eq(m->name, "made");
			cr_assert_str_eq(m->licence, "BSD-3-Clause");
			cr_assert_eq(m->n_golden, 32);
			cr_assert_leq(m->golden_error, m->golden_tolerance);
			char text[8192];
			struct lode_json json;
			lode_json_begin(&json, text, sizeof(text));
			lode_model_json(m, &json);
			cr_assert_gt(lode_json_end(&json), 0);
			cr_assert_not_null(strstr(text, "oxidize-trainer/1"));
			lode_model_free(m);
			made_free(&made);
		}
}

Test(load, int8_bits_hold_on_every_instruction_set_and_form)
{
	enum lode_model_role role;
	for (int i = 0; i < 7; i++) {
		struct made_model made;
		struct lode_err err = {0};
		struct lode_nn_desc desc = all_descs(i, &role);
		cr_assert_eq(make_model(&made, role, &desc, &lode_schema_oxidize_drl,
				     LODE_NN_FORMAT_INT8, &err),
			0);
		for (int isa = LODE_NN_PORTABLE; isa <= LODE_NN_AVX512VNNI; isa++) {
			struct lode_model_options options = {.isa = (enum lode_nn_isa)isa};
			struct lode_model *m;
			if (!lode_nn_isa_available(options.isa))
				continue;
			for (int form = 0; form <= LODE_NN_FORM_FOLDED; form++) {
				options.form = (enum lode_nn_form)form;
				bool table = desc.position == LODE_NN_POSITION_TABLE;
				if (form == LODE_NN_FORM_STREAM &&
					(table || desc.kind != LODE_NN_TRANSFORMER))
					continue;
				cr_assert_eq(lode_model_load_memory(&m, made.image, made.n_bytes,
						     "made", &options, &err),
					0, "%d on %s, %s: %s", i, lode_nn_isa_name(options.isa),
					lode_nn_form_name(options.form), err.msg);
				lode_model_free(m);
			}
		}
		made_free(&made);
	}
}

/* ---- mutations ---- */

/* Opens an image, lets `edit` change copies of its parts, writes it again with a hash that fits. */
struct edit {
	struct lode_tensor_out tensors[100];
	size_t n_tensors;
	struct lode_metadata metadata[20];
	size_t n_metadata;
	uint8_t *data; /* writable copy of the file */
	struct lode_package pkg;
	char hex[HEX_BYTES];
};

static void edit_begin(struct edit *e, const struct made_model *made)
{
	e->data = malloc(made->n_bytes);
	memcpy(e->data, made->image, made->n_bytes);
	struct lode_package_input in = {"m.safetensors", e->data, made->n_bytes};
	cr_assert_eq(lode_package_from_memory(&e->pkg, &in, 1, &lode_limits_engine, NULL), 0);
	e->n_tensors = 0;
	for (size_t i = 0; i < e->pkg.n_extents; i++) {
		const struct lode_extent *x = &e->pkg.extents[i];
		if (!x->name[0])
			continue;
		struct lode_tensor_out t = {
			x->name, x->dtype, x->rank, {0}, lode_extent_data(&e->pkg, x)};
		memcpy(t.dims, x->dims, sizeof(t.dims));
		e->tensors[e->n_tensors++] = t;
	}
	e->n_metadata = e->pkg.n_metadata;
	memcpy(e->metadata, e->pkg.metadata, e->n_metadata * sizeof(e->metadata[0]));
}

static struct lode_tensor_out *edit_tensor(struct edit *e, const char *name)
{
	for (size_t i = 0; i < e->n_tensors; i++)
		if (!strcmp(e->tensors[i].name, name))
			return &e->tensors[i];
	cr_assert_fail("no tensor %s", name);
	return NULL;
}

static float *edit_floats(struct edit *e, const char *name)
{
	return (float *)edit_tensor(e, name)->data;
}

static void edit_key(struct edit *e, const char *key, const char *value)
{
	for (size_t i = 0; i < e->n_metadata; i++)
		if (!strcmp(e->metadata[i].key, key)) {
			e->metadata[i].value = value;
			return;
		}
	cr_assert_fail("no key %s", key);
}

/* The hash of what the edited tensors are now, unless it is to stay wrong. */
static void edit_rehash(struct edit *e)
{
	uint8_t *image, hash[LODE_SHA256_BYTES];
	size_t n;
	struct lode_package pkg;
	cr_assert_eq(
		lode_safetensors_write(e->tensors, e->n_tensors, NULL, 0, &image, &n, NULL), 0);
	struct lode_package_input in = {"m.safetensors", image, n};
	cr_assert_eq(lode_package_from_memory(&pkg, &in, 1, &lode_limits_delivery, NULL), 0);
	cr_assert_eq(hash_tensors(&pkg, hash), 0);
	print_hex_digest(hash, e->hex);
	edit_key(e, "lodestone.tensors_sha256", e->hex);
	lode_package_close(&pkg);
	free(image);
}

static void edit_refuse(struct edit *e, int rc, const char *why)
{
	uint8_t *image;
	size_t n;
	struct lode_model *m;
	struct lode_err err = {0};
	cr_assert_eq(lode_safetensors_write(e->tensors, e->n_tensors, e->metadata, e->n_metadata,
			     &image, &n, NULL),
		0);
	cr_expect_eq(lode_model_load_memory(&m, image, n, "edited", NULL, &err), rc,
		"%d for '%s': %s", err.code, why, err.msg);
	cr_assert_null(m);
	cr_expect(strstr(err.msg, why), "'%s' expected in '%s'", why, err.msg);
	lode_package_close(&e->pkg);
	free(e->data);
	free(image);
}

static struct made_model dqn_file(enum lode_nn_format format)
{
	struct made_model made;
	struct lode_err err = {0};
	struct lode_nn_desc desc = dqn_desc();
	cr_assert_eq(
		make_model(&made, LODE_MODEL_DQN, &desc, &lode_schema_oxidize_drl, format, &err), 0,
		"%s", err.msg);
	return made;
}

Test(refuse, another_schema_is_named_with_ours)
{
	struct made_model made = dqn_file(LODE_NN_FORMAT_INT8);
	struct edit e;
	edit_begin(&e, &made);
	edit_key(&e, "lodestone.schema", "drl/9");
	edit_refuse(&e, -EPROTO, "feature schema 'drl/9'");
	edit_begin(&e, &made);
	edit_key(&e, "lodestone.schema_sha256",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	edit_refuse(&e, -EPROTO,
		"'oxidize-drl/1' (01234567) is not one that is fed here: oxidize-trainer/1 (");
	edit_begin(&e, &made);
	edit_key(&e, "lodestone.schema_sha256", "short");
	edit_refuse(&e, -EBADMSG, "64 lower-case hex digits");
	made_free(&made);
}

Test(refuse, a_model_of_a_schema_that_is_not_fed)
{
	struct made_model made = dqn_file(LODE_NN_FORMAT_INT8);
	const struct lode_schema *fed[] = {&lode_schema_oxidize_trainer};
	struct lode_model_options options = {.schemas = fed, .n_schemas = 1};
	struct lode_model *m;
	struct lode_err err;
	cr_assert_eq(
		lode_model_load_memory(&m, made.image, made.n_bytes, "x", &options, &err), -EPROTO);
	cr_assert_not_null(strstr(err.msg, "'oxidize-drl/1'"));
	cr_assert_not_null(strstr(err.msg, "oxidize-trainer/1"));
	made_free(&made);
}

Test(refuse, shapes_and_tensors)
{
	struct made_model made = dqn_file(LODE_NN_FORMAT_FP32);
	struct edit e;
	edit_begin(&e, &made);
	edit_key(&e, "lodestone.network",
		"kind=mlp n_in=8 n_steps=1 n_out=6 output=linear activation=relu width=64,128,6");
	edit_refuse(&e, -EINVAL, "F32 [64,8] expected, F32 [128,8] found");
	edit_begin(&e, &made);
	edit_key(&e, "lodestone.network",
		"kind=mlp n_in=7 n_steps=1 n_out=6 output=linear activation=relu width=128,128,6");
	edit_refuse(&e, -EPROTO, "network takes 7 features, schema 'oxidize-drl/1' has 8");
	edit_begin(&e, &made);
	struct lode_tensor_out *t = edit_tensor(&e, "l2.weight");
	t->dims[0] = 64;
	t->dims[1] = 256;
	edit_rehash(&e);
	edit_refuse(&e, -EINVAL, "tensor 'l2.weight' at offset");
	edit_begin(&e, &made);
	edit_tensor(&e, "l2.bias")->name = "l2.bios";
	edit_rehash(&e);
	edit_refuse(&e, -EINVAL, "tensor 'l2.bias': F32 [128] expected, not in the file");
	edit_begin(&e, &made);
	e.tensors[e.n_tensors++] = (struct lode_tensor_out){"extra", LODE_F32, 1, {8}, e.data};
	edit_rehash(&e);
	edit_refuse(&e, -EINVAL, "tensor 'extra' at offset");
	edit_begin(&e, &made);
	edit_floats(&e, "l1.weight")[5] = NAN;
	edit_rehash(&e);
	edit_refuse(&e, -EINVAL, "element 5 is nan");
	edit_begin(&e, &made);
	edit_floats(&e, "l1.weight")[5] = 1e9f;
	edit_rehash(&e);
	edit_refuse(&e, -EINVAL, "element 5 is 1e+09");
	made_free(&made);
}

Test(refuse, int8_scales_that_are_not_positive)
{
	struct made_model made = dqn_file(LODE_NN_FORMAT_INT8);
	struct edit e;
	edit_begin(&e, &made);
	edit_floats(&e, "l2.scale")[3] = 0;
	edit_rehash(&e);
	edit_refuse(&e, -EINVAL, "l2.scale");
	edit_begin(&e, &made);
	edit_floats(&e, "l1.range")[1] = -1;
	edit_rehash(&e);
	edit_refuse(&e, -EINVAL, "l1.range");
	made_free(&made);
}

Test(refuse, golden_vectors_that_do_not_hold)
{
	for (int format = 0; format < 2; format++) {
		struct made_model made = dqn_file((enum lode_nn_format)format);
		bool int8 = format == LODE_NN_FORMAT_INT8;
		struct edit e;
		edit_begin(&e, &made);
		edit_floats(&e, "golden.output")[7] += 1;
		edit_refuse(&e, -EILSEQ, "do not match their SHA-256");
		edit_begin(&e, &made);
		edit_floats(&e, "golden.output")[7] += 1;
		edit_rehash(&e);
		edit_refuse(&e, -EILSEQ, "golden vector 1, output 1");
		edit_begin(&e, &made);
		edit_floats(&e, "golden.input")[0] += .5f;
		edit_rehash(&e);
		edit_refuse(&e, -EILSEQ, "golden vector 0");
		edit_begin(&e, &made);
		edit_tensor(&e, "golden.input")->name = "golden.inputs";
		edit_rehash(&e);
		edit_refuse(&e, -EILSEQ, "no golden vectors");
		edit_begin(&e, &made);
		if (int8) /* one bit is enough */
			*(uint32_t *)&edit_floats(&e, "golden.int8")[9] ^= 1;
		else
			edit_floats(&e, "l3.bias")[0] += .01f;
		edit_rehash(&e);
		edit_refuse(&e, -EILSEQ,
			int8 ? "golden vector 1, INT8 output 3" : "golden vector 0, output 0");
		if (int8) {
			edit_begin(&e, &made);
			edit_key(&e, "lodestone.golden_tolerance", "10");
			edit_refuse(&e, -EILSEQ, "golden_tolerance: above 0 and at most");
			edit_begin(&e, &made);
			int8_t *w = (int8_t *)edit_tensor(&e, "l2.weight")->data;
			w[100] = (int8_t)(w[100] > 0 ? w[100] - 1 : w[100] + 1);
			edit_rehash(&e);
			edit_refuse(&e, -EILSEQ, "INT8 output");
		}
		made_free(&made);
	}
}

Test(refuse, metadata)
{
	struct made_model made = dqn_file(LODE_NN_FORMAT_INT8);
	struct edit e;
	edit_begin(&e, &made);
	edit_key(&e, "lodestone.version", "2");
	edit_refuse(&e, -EBADMSG, "version: 1 expected, '2' found");
	edit_begin(&e, &made);
	edit_key(&e, "lodestone.role", "cook");
	edit_refuse(&e, -EBADMSG, "'cook' found");
	edit_begin(&e, &made);
	edit_key(&e, "lodestone.role", "ppo");
	edit_refuse(&e, -EBADMSG, "lodestone.network.actor is missing");
	edit_begin(&e, &made);
	e.n_metadata = 0;
	edit_refuse(&e, -EINVAL, "l1.weight"); /* looks like the older DQN then, and is none */
	edit_begin(&e, &made);
	edit_tensor(&e, "l1.weight")->name = "other.weight";
	e.n_metadata = 0;
	edit_refuse(&e, -EBADMSG, "not one of the four older files");
	made_free(&made);
}

Test(refuse, every_cut_and_every_flipped_byte_of_the_header)
{
	struct made_model made = dqn_file(LODE_NN_FORMAT_INT8);
	struct lode_model *m;
	struct lode_err err;
	size_t n_header = 8 + (size_t)lode_load_le64(made.image);
	for (size_t n = 0; n < made.n_bytes; n += n < n_header ? 1 : 997) {
		uint8_t *cut = malloc(n + 1);
		memcpy(cut, made.image, n);
		cr_assert_lt(lode_model_load_memory(&m, cut, n, "cut", NULL, &err), 0, "%zu", n);
		free(cut);
	}
	for (size_t i = 0; i < n_header; i++) {
		made.image[i] ^= 0x10;
		if (!lode_model_load_memory(&m, made.image, made.n_bytes, "flipped", NULL, &err))
			lode_model_free(m); /* in the name, the card or the licence */
		made.image[i] ^= 0x10;
	}
	made_free(&made);
}

Test(load, halves_are_expanded)
{
	/* weights that both halves hold exactly */
	struct made_model made;
	struct lode_err err = {0};
	struct lode_nn_desc desc = dqn_desc();
	struct made_net net = make_net(&desc, 1);
	for (unsigned i = 0; i < net.n_tensors; i++)
		for (size_t k = 0; k < lode_nn_tensor_bytes(&net.tensors[i]) / 4; k++) {
			float *v = (float *)net.tensors[i].data + k;
			*v = rintf(*v * 64) / 64;
		}
	made = (struct made_model){.nets = {net}};
	made.source = (struct lode_model_source){.name = "half",
		.role = LODE_MODEL_DQN,
		.schema = &lode_schema_oxidize_drl,
		.nets = {{desc, net.tensors, net.n_tensors, NULL}},
		.n_nets = 1};
	cr_assert_eq(lode_model_write(
			     &made.source, LODE_NN_FORMAT_FP32, &made.image, &made.n_bytes, &err),
		0, "%s", err.msg);
	for (int bf16 = 0; bf16 < 2; bf16++) {
		struct edit e;
		uint8_t *image;
		size_t n;
		struct lode_model *m;
		edit_begin(&e, &made);
		struct lode_tensor_out *t = edit_tensor(&e, "l2.weight");
		uint16_t *half = calloc(128 * 128, 2);
		for (int i = 0; i < 128 * 128; i++) {
			uint32_t bits;
			memcpy(&bits, (const float *)t->data + i, 4);
			uint32_t exponent = bits >> 23 & 255;
			uint16_t f16 =
				exponent ? (uint16_t)((bits >> 16 & 0x8000) |
						      (exponent - 112) << 10 | (bits >> 13 & 0x3ff))
					 : (uint16_t)(bits >> 16);
			half[i] = bf16 ? (uint16_t)(bits >> 16) : f16;
		}
		t->data = half;
		t->dtype = bf16 ? LODE_BF16 : LODE_F16;
		edit_rehash(&e);
		cr_assert_eq(lode_safetensors_write(e.tensors, e.n_tensors, e.metadata,
				     e.n_metadata, &image, &n, NULL),
			0);
		cr_assert_eq(
			lode_model_load_memory(&m, image, n, "half", NULL, &err), 0, "%s", err.msg);
		const struct lode_nn_tensor *w =
			lode_nn_tensor_find(m->nets[0].tensors, m->nets[0].n_tensors, "l2.weight");
		cr_assert_arr_eq(w->data,
			lode_nn_tensor_find(net.tensors, net.n_tensors, "l2.weight")->data,
			4 * 128 * 128);
		lode_model_free(m);
		lode_package_close(&e.pkg);
		free(e.data);
		free(half);
		free(image);
	}
	made_free(&made);
}
