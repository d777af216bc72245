/* SPDX-License-Identifier: BSD-3-Clause */
/* Who did what, each entry hashed together with the hash of the one before: what is changed, taken out or
 * put in later shows. */
#include "store.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_HASH "0000000000000000000000000000000000000000000000000000000000000000"

/* Every field with its length in front, so that no two entries read alike. */
static int chain(const char *before, const struct lode_audit *e, char hex[65])
{
	char time[24];
	snprintf(time, sizeof(time), "%" PRId64, e->time_ms);
	const char *fields[] = {before, time, e->actor, e->action, e->object, e->detail};
	uint8_t digest[32];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	for (unsigned i = 0; ok && i < LODE_ARRAY_LEN(fields); i++) {
		uint8_t len_be[4];
		lode_store_be32(len_be, (uint32_t)strlen(fields[i]));
		ok = EVP_DigestUpdate(md, len_be, 4) == 1 &&
		     EVP_DigestUpdate(md, fields[i], strlen(fields[i])) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(md, digest, NULL) == 1;
	EVP_MD_CTX_free(md);
	if (ok)
		lode_hex(digest, sizeof(digest), hex);
	return ok ? 0 : -ENOMEM;
}

static int take_hash(void *ctx, const struct sql_row *row)
{
	snprintf(ctx, 65, "%s", row->text(row, 0));
	return 0;
}

static int append(struct lode_store *s, const struct lode_audit *entry, struct lode_err *err)
{
	char before[65] = FIRST_HASH, hash[65];
	int rc = store_run(s, "SELECT hash FROM audit ORDER BY seq DESC LIMIT 1", NULL, 0,
		take_hash, before, err);
	if (!rc && chain(before, entry, hash))
		rc = lode_err_set(err, -ENOMEM, "no memory for a hash");
	if (rc)
		return rc;
	const struct sql_value v[] = {SQL_I(entry->time_ms), SQL_T(entry->actor),
		SQL_T(entry->action), SQL_T(entry->object), SQL_T(entry->detail), SQL_T(hash)};
	return store_run(s,
		"INSERT INTO audit (time_ms, actor, action, object, detail, hash) VALUES ($1, $2, "
		"$3, "
		"$4, $5, $6)",
		v, 6, NULL, NULL, err);
}

/* Nobody else may append between reading the last hash and writing the next. */
int lode_store_audit(struct lode_store *s, const struct lode_audit *entry, struct lode_err *err)
{
	if (s->in_transaction)
		return append(s, entry, err);
	int rc = lode_store_begin(s, true, err);
	if (rc)
		return rc;
	rc = append(s, entry, err);
	if (!rc)
		return lode_store_commit(s, err);
	lode_store_rollback(s);
	return rc;
}

struct audit_list {
	lode_audit_fn *fn;
	void *ctx;
};

static int audit_row(void *ctx, const struct sql_row *row)
{
	struct audit_list *l = ctx;
	struct lode_audit e = {
		.seq = row->integer(row, 0),
		.time_ms = row->integer(row, 1),
		.actor = row->text(row, 2),
		.action = row->text(row, 3),
		.object = row->text(row, 4),
		.detail = row->text(row, 5),
	};
	snprintf(e.hash, sizeof(e.hash), "%s", row->text(row, 6));
	return l->fn(l->ctx, &e);
}

int lode_store_audit_list(struct lode_store *s, int64_t after_seq, unsigned limit,
	lode_audit_fn *fn, void *ctx, struct lode_err *err)
{
	const struct sql_value v[] = {SQL_I(after_seq), SQL_I(limit ? limit : INT32_MAX)};
	struct audit_list l = {fn, ctx};
	return store_run(s,
		"SELECT seq, time_ms, actor, action, object, detail, hash FROM audit WHERE seq > "
		"$1 "
		"ORDER BY seq LIMIT $2",
		v, 2, audit_row, &l, err);
}

struct verify {
	char before[65];
	int64_t bad_seq;
};

static int verify_entry(void *ctx, const struct lode_audit *e)
{
	struct verify *v = ctx;
	char hash[65];
	if (chain(v->before, e, hash) || strcmp(hash, e->hash)) {
		v->bad_seq = e->seq;
		return -EBADMSG;
	}
	memcpy(v->before, e->hash, sizeof(v->before));
	return 0;
}

int lode_store_audit_verify(struct lode_store *s, int64_t *bad_seq, struct lode_err *err)
{
	struct verify v = {.before = FIRST_HASH};
	int rc = lode_store_audit_list(s, 0, 0, verify_entry, &v, err);
	*bad_seq = v.bad_seq;
	if (rc == -EBADMSG)
		lode_err_set(err, rc,
			"audit entry %" PRId64 " does not follow from those before it", v.bad_seq);
	return rc;
}
