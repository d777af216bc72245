/* SPDX-License-Identifier: BSD-3-Clause */
/* model_dir/.agent-state.json: written beside, synced, renamed, the folder synced. */
#include "agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void journal_path(const struct lode_agent *a, const char *suffix, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/.agent-state.json%s", a->options.model_dir, suffix);
}

static json_t *running_json(const struct running *r)
{
	return json_pack(
		"{s:s,s:s,s:s}", "model", r->model, "version", r->version, "sha256", r->sha256);
}

static void copy_member(char *to, size_t size, const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));
	snprintf(to, size, "%s", s && strlen(s) < size && (!*s || name_ok(s)) ? s : "");
}

static void read_running(struct running *r, const json_t *obj)
{
	copy_member(r->model, sizeof(r->model), obj, "model");
	copy_member(r->version, sizeof(r->version), obj, "version");
	copy_member(r->sha256, sizeof(r->sha256), obj, "sha256");
}

int journal_load(struct lode_agent *a, struct lode_err *err)
{
	char path[PATH_MAX];
	json_error_t where;
	size_t i;
	json_t *p;
	journal_path(a, "", path);
	if (access(path, F_OK))
		return trust_begin(a, NULL, err);
	json_t *doc = json_load_file(path, 0, &where);
	if (!doc)
		return lode_err_set(err, -EIO, "%s: %s", path, where.text);
	const char *trust = json_string_value(json_object_get(doc, "trust"));
	int rc = trust_begin(a, trust, err);
	read_running(&a->current, json_object_get(doc, "current"));
	read_running(&a->before, json_object_get(doc, "before"));
	read_running(&a->trying, json_object_get(doc, "trying"));
	json_array_foreach(json_object_get(doc, "poison"), i, p)
	{
		if (a->n_poison == LODE_AGENT_POISON_MAX)
			break;
		struct poison *to = &a->poison[a->n_poison++];
		read_running(&to->what, p);
		to->failures = (unsigned)json_integer_value(json_object_get(p, "failures"));
	}
	json_decref(doc);
	return rc;
}

static json_t *journal_json(const struct lode_agent *a)
{
	json_t *poison = json_array();
	for (unsigned i = 0; i < a->n_poison; i++) {
		json_t *p = running_json(&a->poison[i].what);
		json_object_set_new(p, "failures", json_integer(a->poison[i].failures));
		json_array_append_new(poison, p);
	}
	char *trust = a->trust.root_text ? lode_trust_state_print(&a->trust) : NULL;
	json_t *doc = json_pack("{s:s,s:o,s:o,s:o,s:o,s:s*}", "device_id", a->options.device_id,
		"current", running_json(&a->current), "before", running_json(&a->before), "trying",
		running_json(&a->trying), "poison", poison, "trust", trust);
	free(trust);
	return doc;
}

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);
	while (left) {
		ssize_t n = write(fd, text, left);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			left -= (size_t)n;
		}
	}
	return fsync(fd) ? -errno : 0;
}

int journal_save(struct lode_agent *a, struct lode_err *err)
{
	char path[PATH_MAX], part[PATH_MAX];
	json_t *doc = journal_json(a);
	char *text = json_dumps(doc, JSON_INDENT(1));
	journal_path(a, "", path);
	journal_path(a, ".part", part);
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = fd < 0 || !text ? -errno : write_all(fd, text);
	if (fd >= 0)
		close(fd);
	if (!rc)
		rc = write_point(a, "journal written");
	if (!rc && rename(part, path))
		rc = -errno;
	if (!rc)
		rc = write_point(a, "journal renamed");
	free(text);
	json_decref(doc);
	return rc ? lode_err_set(err, rc, "%s: %s", path, strerror(-rc))
		  : sync_path(a->options.model_dir, err);
}

static bool same(const struct running *r, const char *model, const char *version)
{
	return !strcmp(r->model, model) && !strcmp(r->version, version);
}

unsigned poison_failures(const struct lode_agent *a, const char *model, const char *version)
{
	for (unsigned i = 0; i < a->n_poison; i++)
		if (same(&a->poison[i].what, model, version))
			return a->poison[i].failures;
	return 0;
}

static void drop(struct lode_agent *a, unsigned i)
{
	memmove(&a->poison[i], &a->poison[i + 1], (--a->n_poison - i) * sizeof(a->poison[0]));
}

void poison_add(struct lode_agent *a, const struct running *what)
{
	for (unsigned i = 0; i < a->n_poison; i++)
		if (same(&a->poison[i].what, what->model, what->version)) {
			a->poison[i].failures++;
			return;
		}
	if (a->n_poison == LODE_AGENT_POISON_MAX)
		drop(a, 0); /* the oldest */
	a->poison[a->n_poison++] = (struct poison){*what, 1};
}

void poison_clear(struct lode_agent *a, const struct running *what)
{
	for (unsigned i = 0; i < a->n_poison; i++)
		if (same(&a->poison[i].what, what->model, what->version)) {
			drop(a, i);
			return;
		}
}
