/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of the older project: LossSample and DrlExperience, in and out. */
#include "train.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX (512u << 20)

int read_export(const char *path, struct lode_learn_export *e, struct lode_err *err)
{
	FILE *f = fopen(path, "r");
	if (!f)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	fseek(f, 0, SEEK_END);
	long size = ftell(f);
	rewind(f);
	char *text = size >= 0 && size <= (long)FILE_MAX ? malloc((size_t)size + 1) : NULL;
	int rc = text && fread(text, 1, (size_t)size, f) == (size_t)size
			 ? 0
			 : lode_err_set(err, -EFBIG, "%s: not readable, or above %u bytes", path,
				   FILE_MAX);
	fclose(f);
	if (!rc && (rc = lode_learn_import_json(text, (size_t)size, e, err)))
		lode_err_prefix(err, "%s", path);
	free(text);
	return rc;
}

static int from_samples(const char *path, struct lode_learn_export *e, struct lode_err *err)
{
	struct lode_learn_samples s;
	int rc = lode_learn_samples_open(&s, path, err);
	if (rc)
		return rc;
	snprintf(e->server_id, sizeof(e->server_id), "lodestone");
	struct lode_learn_digest *d = lode_learn_digest_new(e);
	if (!d)
		rc = lode_err_set(err, -ENOMEM, "no memory for samples");
	for (size_t i = 0; !rc && i < s.n_records; i++)
		lode_learn_digest_add(d, &s.records[i]);
	lode_learn_digest_free(d);
	lode_learn_samples_close(&s);
	return rc;
}

bool is_json(const char *path)
{
	size_t n = strlen(path);
	return n > 5 && strcmp(path + n - 5, ".json") == 0;
}

static int write_export(const struct lode_learn_export *e, const char *path, struct lode_err *err)
{
	char *text;
	int rc = lode_learn_export_json(e, &text, err);
	if (rc)
		return rc;
	FILE *f = fopen(path, "w");
	bool written = f && fputs(text, f) >= 0;
	if (f && fclose(f))
		written = false;
	free(text);
	return written ? 0 : lode_err_set(err, -EIO, "%s: %s", path, strerror(errno));
}

int convert_records(const char *path, const char *out, struct lode_err *err)
{
	struct lode_learn_export e = {0};
	int rc = is_json(path) ? read_export(path, &e, err) : from_samples(path, &e, err);
	if (!rc && out)
		rc = write_export(&e, out, err);
	if (!rc)
		printf("%zu loss samples, %zu experiences\n", e.n_loss, e.n_drl);
	lode_learn_export_free(&e);
	return rc;
}
