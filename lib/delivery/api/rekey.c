/* SPDX-License-Identifier: BSD-3-Clause */
/* After a new sealing key: what older ones sealed is sealed for the new one, blob by blob. The chunks stay as they are,
 * only the head changes; the old blob is one that nothing names, and is collected. */
#include "api.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UNREADABLE "unreadable" /* instead of a key's id: not tried again */

static int take_first(void *ctx, const struct lode_store_doc *doc)
{
	snprintf(ctx, LODE_STORE_ID_MAX, "%s", doc->id);
	return 1;
}

static bool name_of(
	const struct lode_seal_keys *keys, unsigned i, char name[LODE_SEAL_KEY_NAME_LEN])
{
	uint8_t public_key[LODE_SEAL_KEY_BYTES];
	if (lode_seal_public(keys->key[i], public_key))
		return false;
	lode_seal_key_name(public_key, name);
	return true;
}

/* A blob that one of our older keys sealed; false: there is none. */
static bool find_old(struct lode_api *api, char sha[LODE_STORE_ID_MAX])
{
	const struct lode_seal_keys *keys = api->options.seal_keys;
	char newest[LODE_SEAL_KEY_NAME_LEN], name[LODE_SEAL_KEY_NAME_LEN];
	if (!keys || !name_of(keys, 0, newest))
		return false;
	for (unsigned i = 1; i < keys->n; i++) {
		struct lode_err err;
		struct lode_store_query q = {.tag = name, .limit = 1};
		if (!name_of(keys, i, name) || !strcmp(name, newest))
			continue;
		if (lode_store_list(api->store, LODE_DOC_SEALED, &q, take_first, sha, &err) == 1)
			return true;
	}
	return false;
}

static int rewrap(struct lode_api *api, const char *old, const uint8_t ours[LODE_SEAL_KEY_BYTES],
	char stored[LODE_BLOB_HEX], struct lode_err *err)
{
	const struct lode_seal_keys readers = {1, (const uint8_t(*)[LODE_SEAL_KEY_BYTES])ours};
	struct into_store to = {.err = err};
	const struct lode_seal_sink sink = {write_blob, &to};
	int fd = lode_blob_open(api->blobs, old);
	if (fd < 0)
		return lode_err_set(err, fd, "%s cannot be read", old);
	int rc = lode_blob_begin(
		api->blobs, NULL, (uint64_t)lseek(fd, 0, SEEK_END), &to.w, NULL, err);
	if (!rc) {
		rc = lode_seal_rewrap(fd, &sink, api->options.seal_keys, &readers, err);
		if (rc)
			lode_blob_abandon(to.w);
		else
			rc = lode_blob_commit(to.w, NULL, stored, err);
	}
	close(fd);
	return rc;
}

bool lode_api_rekey(struct lode_api *api)
{
	uint8_t ours[LODE_SEAL_KEY_BYTES];
	char sha[LODE_STORE_ID_MAX], stored[LODE_BLOB_HEX], name[LODE_SEAL_KEY_NAME_LEN];
	struct lode_err err;
	int64_t rev;
	if (!find_old(api, sha) || lode_seal_public(api->options.seal_keys->key[0], ours))
		return false;
	json_t *doc = load(api, LODE_DOC_SEALED, "", sha, &rev, &err);
	int rc = doc ? rewrap(api, text_of(doc, "stored"), ours, stored, &err) : err.code;
	bool hopeless = rc == -ENOENT || rc == -EBADMSG || rc == -ENOKEY;
	lode_seal_key_name(ours, name);
	if (!rc)
		json_object_set_new(doc, "stored", json_string(stored));
	if (!rc || hopeless) /* of two managers that do it the first one counts */
		rc = save(api, LODE_DOC_SEALED, "", sha, hopeless ? UNREADABLE : name, doc, rev,
			&err);
	json_decref(doc);
	return !rc;
}
