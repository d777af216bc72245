/* SPDX-License-Identifier: BSD-3-Clause */
/* The metadata of our own files. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const roles[LODE_MODEL_ROLES] = {"loss", "dqn", "ppo", "oracle"};

const char *lode_model_role_name(enum lode_model_role role)
{
	return roles[role];
}

static int parse_hex_digest(const char *hex, uint8_t sha256[LODE_SHA256_BYTES])
{
	if (strlen(hex) != 2 * LODE_SHA256_BYTES || strspn(hex, "0123456789abcdef") != strlen(hex))
		return -EINVAL;
	for (int i = 0; i < LODE_SHA256_BYTES; i++) {
		char byte[3] = {hex[2 * i], hex[2 * i + 1], 0};
		sha256[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return 0;
}

void print_hex_digest(const uint8_t sha256[LODE_SHA256_BYTES], char hex[HEX_BYTES])
{
	lode_hex(sha256, LODE_SHA256_BYTES, hex);
}

static const struct lode_schema *const older_schemas[] = {
	&lode_schema_oxidize_trainer, &lode_schema_oxidize_seed, &lode_schema_oxidize_drl};

static void accepted(
	const struct lode_model_options *o, const struct lode_schema *const **list, unsigned *n)
{
	bool own = o && o->schemas;
	*list = own ? o->schemas : older_schemas;
	*n = own ? o->n_schemas : LODE_ARRAY_LEN(older_schemas);
}

/* "name (first 8 hex digits), ..." of what is accepted. */
static void list_schemas(const struct lode_model_options *o, char *text, size_t size)
{
	const struct lode_schema *const *list;
	unsigned n;
	size_t used = 0;
	accepted(o, &list, &n);
	text[0] = 0;
	for (unsigned i = 0; i < n && used < size; i++) {
		uint8_t hash[LODE_SHA256_BYTES];
		lode_schema_hash(list[i], hash);
		used += (size_t)snprintf(text + used, size - used, "%s%s (%02x%02x%02x%02x)",
			i ? ", " : "", list[i]->name, hash[0], hash[1], hash[2], hash[3]);
	}
}

/* By name and hash; anything else is refused with both sides named. */
static int find_schema(const char *name, const char *hex, const struct lode_model_options *o,
	const struct lode_schema **schema, struct lode_err *err)
{
	const struct lode_schema *const *list;
	unsigned n;
	uint8_t theirs[LODE_SHA256_BYTES], ours[LODE_SHA256_BYTES];
	char have[300];
	if (parse_hex_digest(hex, theirs))
		return lode_err_set(
			err, -EBADMSG, META "schema_sha256: 64 lower-case hex digits expected");
	accepted(o, &list, &n);
	for (unsigned i = 0; i < n; i++) {
		lode_schema_hash(list[i], ours);
		*schema = list[i];
		if (!strcmp(list[i]->name, name) && !memcmp(ours, theirs, sizeof(ours)))
			return 0;
	}
	list_schemas(o, have, sizeof(have));
	return lode_err_set(err, -EPROTO,
		"feature schema '%.60s' (%.8s) is not one that is fed here: %s expected", name, hex,
		have);
}

int schema_accept(
	const struct lode_schema *schema, const struct lode_model_options *o, struct lode_err *err)
{
	uint8_t hash[LODE_SHA256_BYTES];
	char hex[HEX_BYTES];
	const struct lode_schema *found;
	lode_schema_hash(schema, hash);
	print_hex_digest(hash, hex);
	return find_schema(schema->name, hex, o, &found, err);
}

static int need(
	const struct lode_package *pkg, const char *key, const char **value, struct lode_err *err)
{
	*value = lode_package_metadata(pkg, key);
	return *value ? 0 : lode_err_set(err, -EBADMSG, "metadata key %s is missing", key);
}

static int read_role(struct lode_model *m, const struct lode_package *pkg, struct lode_err *err)
{
	const char *role;
	if (need(pkg, META "role", &role, err))
		return err ? err->code : -EBADMSG;
	for (int i = 0; i < LODE_MODEL_ROLES; i++)
		if (!strcmp(role, roles[i])) {
			m->role = (enum lode_model_role)i;
			return 0;
		}
	return lode_err_set(
		err, -EBADMSG, META "role: loss, dqn, ppo or oracle expected, '%.40s' found", role);
}

static int read_network(struct lode_model *m, const struct lode_package *pkg, const char *name,
	struct lode_err *err)
{
	char key[64];
	const char *text;
	struct lode_model_net *net = &m->nets[m->n_nets++];
	snprintf(net->name, sizeof(net->name), "%s", name);
	snprintf(key, sizeof(key), META "network%s%s", name[0] ? "." : "", name);
	int rc = need(pkg, key, &text, err);
	return rc ? rc : lode_network_parse(text, &net->desc, err);
}

static int read_networks(struct lode_model *m, const struct lode_package *pkg, struct lode_err *err)
{
	int rc;
	if (m->role == LODE_MODEL_PPO) {
		rc = read_network(m, pkg, "actor", err);
		if (!rc)
			rc = read_network(m, pkg, "critic", err);
	} else {
		rc = read_network(m, pkg, "", err);
	}
	for (unsigned i = 0; !rc && i < m->n_nets; i++) {
		const struct lode_nn_desc *d = &m->nets[i].desc;
		if (d->n_in != m->schema->n_features)
			rc = lode_err_set(err, -EPROTO,
				"network takes %u features, schema '%s' has %u", d->n_in,
				m->schema->name, m->schema->n_features);
		else if (d->n_steps != m->nets[0].desc.n_steps)
			rc = lode_err_set(err, -EINVAL, "actor takes %u steps, critic %u",
				m->nets[0].desc.n_steps, d->n_steps);
	}
	return rc;
}

static int check_hash(const struct lode_package *pkg, struct lode_err *err)
{
	const char *hex;
	uint8_t expected[LODE_SHA256_BYTES], found[LODE_SHA256_BYTES];
	char found_hex[HEX_BYTES];
	int rc = need(pkg, META "tensors_sha256", &hex, err);
	if (!rc && parse_hex_digest(hex, expected))
		rc = lode_err_set(
			err, -EBADMSG, META "tensors_sha256: 64 lower-case hex digits expected");
	if (!rc && hash_tensors(pkg, found))
		rc = lode_err_set(err, -ENOMEM, "no memory to hash the tensors");
	if (rc || !memcmp(expected, found, sizeof(found)))
		return rc;
	print_hex_digest(found, found_hex);
	return lode_err_set(err, -EILSEQ,
		"tensors do not match their SHA-256: %.16s expected, %.16s found", hex, found_hex);
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

int describe_file(struct lode_model *m, const struct lode_package *pkg,
	const struct lode_model_options *options, struct lode_err *err)
{
	const char *version, *schema, *hash;
	int rc = need(pkg, META "version", &version, err);
	if (rc)
		return -ENOENT;
	if (strcmp(version, "1"))
		return lode_err_set(
			err, -EBADMSG, META "version: 1 expected, '%.20s' found", version);
	rc = read_role(m, pkg, err);
	if (!rc)
		rc = need(pkg, META "schema", &schema, err);
	if (!rc)
		rc = need(pkg, META "schema_sha256", &hash, err);
	if (!rc)
		rc = find_schema(schema, hash, options, &m->schema, err);
	if (!rc)
		rc = read_networks(m, pkg, err);
	if (!rc)
		rc = check_hash(pkg, err);
	m->format =
		lode_package_tensor(pkg, "golden.int8") ? LODE_NN_FORMAT_INT8 : LODE_NN_FORMAT_FP32;
	snprintf(m->name, sizeof(m->name), "%s", or_empty(lode_package_metadata(pkg, META "name")));
	return rc;
}
