/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_model.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const kinds[] = {"mlp", "lstm", "transformer", NULL};
static const char *const outputs[] = {"linear", "sigmoid", "softmax", "sigmoid_first", NULL};
static const char *const activations[] = {"relu", "gelu", NULL};
static const char *const embeds[] = {"pad", "linear", NULL};
static const char *const positions[] = {"none", "table", NULL};
static const char *const norms[] = {"none", "post", NULL};

#define AT(member) offsetof(struct lode_nn_desc, member)

/* A number (uint16_t), or with names an enum. Only what a kind uses is printed. */
static const struct field {
	const char *key;
	size_t offset;
	const char *const *names;
	unsigned kinds; /* bit set */
} fields[] = {
	{"kind", AT(kind), kinds, 7},
	{"n_in", AT(n_in), NULL, 7},
	{"n_steps", AT(n_steps), NULL, 7},
	{"n_out", AT(n_out), NULL, 7},
	{"output", AT(output), outputs, 7},
	{"activation", AT(activation), activations, 1 << LODE_NN_MLP | 1 << LODE_NN_TRANSFORMER},
	{"n_hidden", AT(n_hidden), NULL, 1 << LODE_NN_LSTM},
	{"d_model", AT(d_model), NULL, 1 << LODE_NN_TRANSFORMER},
	{"n_heads", AT(n_heads), NULL, 1 << LODE_NN_TRANSFORMER},
	{"d_ffn", AT(d_ffn), NULL, 1 << LODE_NN_TRANSFORMER},
	{"embed", AT(embed), embeds, 1 << LODE_NN_TRANSFORMER},
	{"position", AT(position), positions, 1 << LODE_NN_TRANSFORMER},
	{"norm", AT(norm), norms, 1 << LODE_NN_TRANSFORMER},
};
static_assert(sizeof(enum lode_nn_kind) == sizeof(int), "enum fields are read as int");

void lode_network_print(const struct lode_nn_desc *d, char text[LODE_NETWORK_TEXT_BYTES])
{
	size_t n = 0;
	for (size_t i = 0; i < LODE_ARRAY_LEN(fields); i++) {
		const struct field *f = &fields[i];
		const void *at = (const char *)d + f->offset;
		if (!(f->kinds & 1u << d->kind))
			continue;
		if (f->names)
			n += (size_t)snprintf(text + n, LODE_NETWORK_TEXT_BYTES - n, "%s%s=%s",
				n ? " " : "", f->key, f->names[*(const int *)at]);
		else
			n += (size_t)snprintf(text + n, LODE_NETWORK_TEXT_BYTES - n, "%s%s=%u",
				n ? " " : "", f->key, *(const uint16_t *)at);
	}
	for (unsigned i = 0; d->kind == LODE_NN_MLP && i < d->n_layers; i++)
		n += (size_t)snprintf(text + n, LODE_NETWORK_TEXT_BYTES - n, "%s%u",
			i ? "," : " width=", d->width[i]);
}

/* Decimal without sign or leading zero, ended by one of `ends` or NUL. */
static bool parse_u16(const char **p, const char *ends, uint16_t *v)
{
	unsigned long sum = 0;
	const char *first = *p;
	for (; **p >= '0' && **p <= '9' && sum <= UINT16_MAX; ++*p)
		sum = sum * 10 + (unsigned long)(**p - '0');
	*v = (uint16_t)sum;
	return *p > first && sum <= UINT16_MAX && !(*first == '0' && *p - first > 1) &&
	       (!**p || strchr(ends, **p));
}

static bool parse_width(const char *p, struct lode_nn_desc *d)
{
	do {
		if (d->n_layers == LODE_NN_MAX_LAYERS ||
			!parse_u16(&p, ",", &d->width[d->n_layers]))
			return false;
		d->n_layers++;
	} while (*p++ == ',');
	return true;
}

static bool parse_value(const struct field *f, const char *value, struct lode_nn_desc *d)
{
	void *at = (char *)d + f->offset;
	if (!f->names)
		return parse_u16(&value, "", at);
	for (int i = 0; f->names[i]; i++)
		if (!strcmp(f->names[i], value)) {
			*(int *)at = i;
			return true;
		}
	return false;
}

static int parse_pair(char *pair, struct lode_nn_desc *d, unsigned *seen, struct lode_err *err)
{
	size_t i = 0;
	char *value = strchr(pair, '=');
	if (!value)
		return lode_err_set(err, -EINVAL, "'%s': key=value is expected", pair);
	*value++ = 0;
	while (i < LODE_ARRAY_LEN(fields) && strcmp(fields[i].key, pair))
		i++;
	bool width = !strcmp(pair, "width");
	if (i == LODE_ARRAY_LEN(fields) && !width)
		return lode_err_set(err, -EINVAL, "key '%s' is unknown", pair);
	if (*seen & 1u << i)
		return lode_err_set(err, -EINVAL, "key '%s' occurs twice", pair);
	*seen |= 1u << i;
	if (!(width ? parse_width(value, d) : parse_value(&fields[i], value, d)))
		return lode_err_set(err, -EINVAL, "%s cannot be '%s'", pair, value);
	return 0;
}

int lode_network_parse(const char *text, struct lode_nn_desc *desc, struct lode_err *err)
{
	char copy[LODE_NETWORK_TEXT_BYTES], *rest = copy, *pair;
	*desc = (struct lode_nn_desc){0};
	if (strlen(text) >= sizeof(copy))
		return lode_err_set(
			err, -E2BIG, "network: longer than %zu bytes", sizeof(copy) - 1);
	strcpy(copy, text);
	unsigned seen = 0;
	int rc = 0;
	while (!rc && (pair = strsep(&rest, " ")))
		rc = parse_pair(pair, desc, &seen, err);
	unsigned width = 1u << LODE_ARRAY_LEN(fields);
	for (size_t i = 0; !rc && i < LODE_ARRAY_LEN(fields); i++)
		if (!(seen & 1u << i) != !(fields[i].kinds & 1u << desc->kind))
			rc = lode_err_set(err, -EINVAL, "key '%s' is %s for %s", fields[i].key,
				seen & 1u << i ? "not allowed" : "missing",
				lode_nn_kind_name(desc->kind));
	if (!rc && !(seen & width) != !(desc->kind == LODE_NN_MLP))
		rc = lode_err_set(
			err, -EINVAL, "key 'width' belongs to an mlp and to nothing else");
	if (!rc)
		rc = lode_nn_desc_check(desc, err);
	if (rc)
		lode_err_prefix(err, "network");
	return rc;
}
