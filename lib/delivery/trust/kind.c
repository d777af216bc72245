/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_package.h"
#include "trust.h"

#include <inttypes.h>
#include <stdio.h>

static void copy(char *to, size_t size, const struct lode_package *pkg, const char *key)
{
	const char *s = lode_package_metadata(pkg, key);
	if (s && strlen(s) < size && text_sound(s))
		memcpy(to, s, strlen(s) + 1);
}

static void copy_network(struct lode_trust_kind *kind, const struct lode_package *pkg)
{
	const char *actor = lode_package_metadata(pkg, "lodestone.network.actor");
	const char *critic = lode_package_metadata(pkg, "lodestone.network.critic");
	char both[sizeof(kind->network)];
	copy(kind->network, sizeof(kind->network), pkg, "lodestone.network");
	if (*kind->network || !actor || !critic)
		return;
	int n = snprintf(both, sizeof(both), "actor %s; critic %s", actor, critic);
	if (n > 0 && (size_t)n < sizeof(both) && text_sound(both))
		memcpy(kind->network, both, (size_t)n + 1);
}

void lode_trust_kind_of(const void *bytes, size_t len, struct lode_trust_kind *kind)
{
	const struct lode_package_input input = {"model.safetensors", bytes, len};
	struct lode_package pkg;
	struct lode_trust_kind k = {0};
	struct lode_err ignored;
	if (!lode_package_from_memory(&pkg, &input, 1, &lode_limits_delivery, &ignored)) {
		copy(k.role, sizeof(k.role), &pkg, "lodestone.role");
		copy(k.schema, sizeof(k.schema), &pkg, "lodestone.schema");
		copy(k.schema_sha256, sizeof(k.schema_sha256), &pkg, "lodestone.schema_sha256");
		copy_network(&k, &pkg);
	}
	lode_package_close(&pkg);
	bool whole = *k.role && *k.schema && *k.schema_sha256 && *k.network;
	*kind = whole ? k : (struct lode_trust_kind){0};
}

static int check_kind(
	const struct lode_trust_kind *want, const void *bytes, size_t len, struct lode_err *err)
{
	struct lode_trust_kind k;
	if (!*want->role)
		return 0;
	lode_trust_kind_of(bytes, len, &k);
	const struct {
		const char *what, *want, *have;
	} members[] = {{"role", want->role, k.role}, {"schema", want->schema, k.schema},
		{"hash of the schema", want->schema_sha256, k.schema_sha256},
		{"network", want->network, k.network}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(members); i++)
		if (strcmp(members[i].want, members[i].have) != 0)
			return lode_err_set(err, -EPERM,
				"the %s of the file is \"%.120s\", the release is for \"%.120s\"",
				members[i].what, members[i].have, members[i].want);
	return 0;
}

int lode_trust_check_file(const struct lode_trust_release *release, const void *bytes, size_t len,
	struct lode_err *err)
{
	char sha256[LODE_TRUST_HEX];
	if (len != release->n_bytes)
		return lode_err_set(err, -EBADMSG,
			"the file has %zu bytes, %" PRIu64 " were released", len, release->n_bytes);
	if (lode_trust_sha256(bytes, len, sha256))
		return lode_err_set(err, -ENOMEM, "OpenSSL does not hash");
	if (strcmp(sha256, release->sha256) != 0)
		return lode_err_set(err, -EBADMSG, "the file has SHA-256 %s, %s was released",
			sha256, release->sha256);
	return check_kind(&release->kind, bytes, len, err);
}
