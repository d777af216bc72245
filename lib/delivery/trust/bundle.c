/* SPDX-License-Identifier: BSD-3-Clause */
/* Chains and bundles: putting signed documents side by side, and taking them apart. */
#include "trust.h"

#include <stdlib.h>

#define MAGIC	   "LODEBNDL"
#define VERSION	   1
#define HEAD_BYTES (8 + 4 + 4)

/* ---- chains ---- */

static json_t *parse_envelope(const char *text, struct lode_err *err)
{
	return parse_object(text, strlen(text), LODE_TRUST_CHAIN_MAX, "envelope", err);
}

int lode_trust_chain_make(const char *const *roots, unsigned n_roots, const char *delegation,
	const char *release, char **chain, struct lode_err *err)
{
	json_t *list = json_array(), *doc = json_pack("{s:o}", "roots", list), *e = NULL;
	int rc = n_roots > LODE_TRUST_ROOTS_MAX
			 ? lode_err_set(err, -EINVAL, "up to %d roots are expected",
				   LODE_TRUST_ROOTS_MAX)
			 : 0;
	for (unsigned i = 0; i < n_roots && !rc; i++) {
		e = parse_envelope(roots[i], err);
		rc = e ? json_array_append_new(list, e) : err->code;
	}
	if (!rc && delegation) {
		e = parse_envelope(delegation, err);
		rc = e ? json_object_set_new(doc, "delegation", e) : err->code;
	}
	if (!rc) {
		e = parse_envelope(release, err);
		rc = e ? json_object_set_new(doc, "release", e) : err->code;
	}
	*chain = rc ? NULL : json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	if (rc || *chain)
		return rc;
	return lode_err_set(err, -ENOMEM, "no memory for a chain");
}

/* ---- bundles ---- */

void lode_trust_bundle_clear(struct lode_trust_bundle *bundle)
{
	for (unsigned i = 0; i < bundle->n_files; i++)
		free(bundle->files[i].chain);
	*bundle = (struct lode_trust_bundle){0};
}

static int file_from(struct lode_trust_bundle *b, const json_t *item, uint64_t *at, size_t len,
	struct lode_err *err)
{
	struct lode_trust_bundle_file *f = &b->files[b->n_files];
	int rc = take_number(&f->n_bytes, item, "bytes", 1, err);
	if (rc)
		return rc;
	if (f->n_bytes > len - *at)
		return lode_err_set(
			err, -EBADMSG, "the bundle ends within its file %u", b->n_files);
	f->chain = json_dumps(json_object_get(item, "chain"), JSON_COMPACT);
	if (!f->chain)
		return lode_err_set(
			err, -EBADMSG, "file %u of the bundle has no chain", b->n_files);
	f->offset_bytes = *at;
	*at += f->n_bytes;
	b->n_files++;
	return 0;
}

int lode_trust_bundle_read(
	struct lode_trust_bundle *bundle, const void *bytes, size_t len, struct lode_err *err)
{
	const uint8_t *p = bytes;
	const json_t *item;
	size_t i;
	*bundle = (struct lode_trust_bundle){0};
	if (len < HEAD_BYTES || memcmp(p, MAGIC, 8) != 0 || lode_load_be32(p + 8) != VERSION)
		return lode_err_set(err, -EBADMSG, "no bundle of version %d", VERSION);
	uint32_t index_bytes = lode_load_be32(p + 12);
	if (index_bytes > LODE_TRUST_BUNDLE_INDEX_MAX || index_bytes > len - HEAD_BYTES)
		return lode_err_set(err, -EBADMSG,
			"the bundle's index has %u bytes; up to %u and the file's end are expected",
			index_bytes, LODE_TRUST_BUNDLE_INDEX_MAX);
	json_t *index = parse_object((const char *)p + HEAD_BYTES, index_bytes,
		LODE_TRUST_BUNDLE_INDEX_MAX, "index", err);
	const json_t *files = json_object_get(index, "files");
	uint64_t at = HEAD_BYTES + index_bytes;
	int rc = index ? 0 : err->code;
	if (!rc &&
		(!json_array_size(files) || json_array_size(files) > LODE_TRUST_BUNDLE_FILES_MAX))
		rc = lode_err_set(
			err, -EBADMSG, "a bundle has 1 to %d files", LODE_TRUST_BUNDLE_FILES_MAX);
	json_array_foreach(files, i, item)
	{
		rc = rc ? rc : file_from(bundle, item, &at, len, err);
	}
	json_decref(index);
	if (!rc && at != len)
		rc = lode_err_set(err, -EBADMSG, "the bundle has bytes behind its last file");
	return rc;
}

static json_t *index_of(const struct lode_trust_bundle *b, struct lode_err *err)
{
	json_t *files = json_array();
	for (unsigned i = 0; i < b->n_files; i++) {
		json_t *chain = parse_envelope(b->files[i].chain, err);
		if (!chain) {
			json_decref(files);
			return NULL;
		}
		json_array_append_new(
			files, json_pack("{s:I,s:o}", "bytes", (json_int_t)b->files[i].n_bytes,
				       "chain", chain));
	}
	return json_pack("{s:o}", "files", files);
}

int lode_trust_bundle_head(
	const struct lode_trust_bundle *bundle, uint8_t **head, size_t *len, struct lode_err *err)
{
	json_t *index = index_of(bundle, err);
	char *text = index ? json_dumps(index, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) : 0;
	*head = text && n <= LODE_TRUST_BUNDLE_INDEX_MAX ? malloc(HEAD_BYTES + n) : NULL;
	int rc = !index	 ? err->code
		 : *head ? 0
			 : lode_err_set(err, -E2BIG,
				   "the bundle's index has %zu bytes, up to %u fit", n,
				   LODE_TRUST_BUNDLE_INDEX_MAX);
	if (!rc) {
		memcpy(*head, MAGIC, 8);
		lode_store_be32(*head + 8, VERSION);
		lode_store_be32(*head + 12, (uint32_t)n);
		memcpy(*head + HEAD_BYTES, text, n);
		*len = HEAD_BYTES + n;
	}
	free(text);
	json_decref(index);
	return rc;
}
