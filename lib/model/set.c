/* SPDX-License-Identifier: BSD-3-Clause */
/* The models a gateway starts with. */
#include "lode_model.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int report(struct lode_model_set *set, const char *path, int rc, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int report(struct lode_model_set *set, const char *path, int rc, const char *fmt, ...)
{
	struct lode_model_report *grown =
		reallocarray(set->reports, set->n_reports + 1, sizeof(*set->reports));
	if (!grown)
		return -ENOMEM;
	set->reports = grown;
	struct lode_model_report *r = &set->reports[set->n_reports++];
	va_list args;
	va_start(args, fmt);
	vsnprintf(r->says, sizeof(r->says), fmt, args);
	va_end(args);
	snprintf(r->path, sizeof(r->path), "%s", path);
	r->rc = rc;
	return 0;
}

static int take(
	struct lode_model_set *set, const char *path, const struct lode_model_options *options)
{
	struct lode_model *m;
	struct lode_err err;
	int rc = lode_model_load(&m, path, options, &err);
	if (rc)
		return report(set, path, rc, "refused: %.380s", err.msg);
	const char *role = lode_model_role_name(m->role);
	if (set->by_role[m->role]) {
		rc = report(set, path, 0, "spare: '%s' already serves %s",
			set->by_role[m->role]->name, role);
		lode_model_free(m);
		return rc;
	}
	set->by_role[m->role] = m;
	return report(set, path, 0,
		"loaded as %s: '%s', %s, %llu parameters, schema %s, golden error %.2g%s", role,
		m->name, m->format == LODE_NN_FORMAT_INT8 ? "INT8" : "FP32",
		(unsigned long long)m->n_params, m->schema->name, (double)m->golden_error,
		m->n_golden ? "" : " (no golden vectors)");
}

static int is_model(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');
	return d->d_name[0] != '.' && dot && !strcmp(dot, ".safetensors");
}

static int load_folder(
	struct lode_model_set *set, const char *folder, const struct lode_model_options *options)
{
	struct dirent **files;
	int n = scandir(folder, &files, is_model, alphasort), rc = 0;
	if (n < 0)
		return report(set, folder, -errno, "no models from here: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		char path[4096];
		int len = snprintf(path, sizeof(path), "%s/%s", folder, files[i]->d_name);
		if (!rc && len > 0 && (size_t)len < sizeof(path))
			rc = take(set, path, options);
		free(files[i]);
	}
	free(files);
	return rc;
}

int lode_model_set_load(struct lode_model_set *set, const char *const *folders, unsigned n_folders,
	const struct lode_model_options *options, struct lode_err *err)
{
	*set = (struct lode_model_set){0};
	for (unsigned i = 0; i < n_folders; i++)
		if (load_folder(set, folders[i], options)) {
			lode_model_set_free(set);
			return lode_err_set(err, -ENOMEM, "no memory for the reports about models");
		}
	return 0;
}

void lode_model_set_free(struct lode_model_set *set)
{
	for (int i = 0; i < LODE_MODEL_ROLES; i++)
		lode_model_free(set->by_role[i]);
	free(set->reports);
	*set = (struct lode_model_set){0};
}
