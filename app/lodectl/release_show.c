/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl release show: what a root, a delegation or a release says, whoever signed it. */
#include "release.h"

#include <stdlib.h>

static json_t *date(int64_t time_s)
{
	char text[32];
	release_date(time_s, text);
	return json_string(text);
}

static json_t *keys_of(const struct lode_trust_role *role)
{
	json_t *keys = json_array();
	for (unsigned i = 0; i < role->n_keys; i++) {
		char hex[2 * LODE_TRUST_KEY_BYTES + 1];
		lode_hex(role->keys[i], LODE_TRUST_KEY_BYTES, hex);
		json_array_append_new(keys, json_string(hex));
	}
	return keys;
}

static json_t *describe_root(const struct lode_trust_root *r)
{
	return json_pack("{s:s,s:I,s:I,s:b,s:o,s:o,s:i,s:o,s:i,s:o}", "document", "root", "version",
		(json_int_t)r->version, "epoch", (json_int_t)r->epoch, "throwaway", r->throwaway,
		"issued", date(r->issued_s), "expires", date(r->expires_s), "root_threshold",
		(int)r->root.threshold, "root_keys", keys_of(&r->root), "release_threshold",
		(int)r->release.threshold, "release_keys", keys_of(&r->release));
}

static json_t *kind_of(const struct lode_trust_kind *k)
{
	return *k->role ? json_sprintf("%s, %s, %s", k->role, k->schema, k->network)
			: json_string("not said");
}

static json_t *describe_delegation(const struct lode_trust_delegation *d)
{
	struct lode_trust_role to = {.n_keys = 1};
	memcpy(to.keys[0], d->key, sizeof(d->key));
	return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o}", "document", "delegation",
		"model", d->model, "number", (json_int_t)d->version, "epoch", (json_int_t)d->epoch,
		"counter_first", (json_int_t)d->counter_first, "counter_last",
		(json_int_t)d->counter_last, "issued", date(d->issued_s), "expires",
		date(d->expires_s), "kind", kind_of(&d->kind), "key", keys_of(&to));
}

json_t *release_describe(const struct lode_trust_release *r)
{
	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:s,s:I,s:o,s:o,s:o,s:I}", "document", "release",
		"model", r->model, "version", r->version, "epoch", (json_int_t)r->epoch, "counter",
		(json_int_t)r->counter, "floor", (json_int_t)r->floor, "sha256", r->sha256, "bytes",
		(json_int_t)r->n_bytes, "issued", date(r->issued_s), "expires", date(r->expires_s),
		"kind", kind_of(&r->kind), "delegation", (json_int_t)r->delegation);
}

int release_show(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_trust_root root;
	struct lode_trust_delegation delegation;
	struct lode_trust_release release;
	struct lode_err err;
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl release show FILE");
	char *text = release_read(argv[0]);
	if (!text)
		return EXIT_ENVIRONMENT;
	size_t len = strlen(text);
	json_t *v = NULL;
	if (!lode_trust_root_read(text, len, &root, &err))
		v = describe_root(&root);
	else if (!lode_trust_delegation_read(text, len, &delegation, &err))
		v = describe_delegation(&delegation);
	else if (!lode_trust_release_read(text, len, &release, &err))
		v = release_describe(&release);
	free(text);
	return v ? print_answer(ctl, v)
		 : complain(
			   EXIT_CONFIG, "%s: no root, delegation or release: %s", argv[0], err.msg);
}
