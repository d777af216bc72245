/* SPDX-License-Identifier: BSD-3-Clause */
/* Who says what may run. A release is judged before a byte of its file is fetched. */
#include "agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define REFRESH_S 3600

/* ---- the root ---- */

/* Nobody can come between on the machine itself. */
static bool on_trial(const struct lode_agent *a)
{
	static const char *const here[] = {"http://127.0.0.1:", "http://[::1]:"};
	const char *url = a->options.control_plane;
	for (size_t i = 0; url && i < LODE_ARRAY_LEN(here); i++) {
		size_t n = strlen(here[i]);
		/* Only a port may follow: "127.0.0.1:80@elsewhere" is elsewhere. */
		if (!strncmp(url, here[i], n) && url[n] && !url[n + strspn(url + n, "0123456789")])
			return true;
	}
	return false;
}

static char *read_root(const char *path, struct lode_err *err)
{
	char *text = calloc(1, LODE_TRUST_CHAIN_MAX);
	FILE *f = fopen(path, "re");
	size_t n = f && text ? fread(text, 1, LODE_TRUST_CHAIN_MAX - 1, f) : 0;
	if (f)
		fclose(f);
	if (n)
		return text;
	free(text);
	lode_err_set(err, -EINVAL, "root %s: %s", path, f ? "the file is empty" : strerror(errno));
	return NULL;
}

int trust_begin(struct lode_agent *a, const char *stored, struct lode_err *err)
{
	if (!a->options.root)
		return on_trial(a) ? 0
				   : lode_err_set(err, -EINVAL,
					     "a root is needed (--root FILE): without one only a "
					     "manager at http://127.0.0.1 is believed, on trial");
	char *anchor = read_root(a->options.root, err);
	if (!anchor)
		return err->code;
	int rc = lode_trust_begin(&a->trust, anchor, stored, err);
	free(anchor);
	return rc ? lode_err_prefix(err, "root %s", a->options.root) : 0;
}

/* On trial the chain brings its own root, which has to say of itself that it is worth nothing. */
static int trust_throwaway(struct lode_agent *a, const char *chain, struct lode_err *err)
{
	json_t *doc = json_loads(chain, 0, NULL);
	char *root = json_dumps(json_array_get(json_object_get(doc, "roots"), 0), JSON_COMPACT);
	json_decref(doc);
	lode_trust_state_clear(&a->trust);
	int rc = root ? lode_trust_begin(&a->trust, root, NULL, err)
		      : lode_err_set(err, -EBADMSG, "the release comes without a root");
	free(root);
	if (!rc && !a->trust.root.throwaway) {
		lode_trust_state_clear(&a->trust);
		rc = lode_err_set(err, -EPERM,
			"the manager is no throw-away one: its root has to be given (--root FILE)");
	}
	if (!rc)
		say(a, "on trial: the manager's throw-away key is believed");
	return rc;
}

/* ---- releases ---- */

/* The gateway will want to see it too, after a power cut as well. */
static int keep_chain(const struct lode_agent *a, const struct running *want, const char *chain,
	struct lode_err *err)
{
	char path[PATH_MAX];
	path_of(a, "staging", want->sha256, ".release", path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok =
		fd >= 0 && write(fd, chain, strlen(chain)) == (ssize_t)strlen(chain) && !fsync(fd);
	int rc = ok ? 0 : lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

void drop_chain(const struct lode_agent *a, const struct running *want)
{
	char path[PATH_MAX];
	if (!*want->sha256)
		return;
	path_of(a, "staging", want->sha256, ".release", path);
	unlink(path);
}

int trust_chain(struct lode_agent *a, const char *chain, const char *model, const char *version,
	struct running *want, struct lode_err *err)
{
	struct lode_trust_state next;
	struct lode_err ignored;
	int rc = a->options.root ? 0 : trust_throwaway(a, chain, err);
	if (rc)
		return rc;
	rc = lode_trust_judge(&a->trust, chain, strlen(chain), model, version, a->options.now_s(),
		&next, &a->release, err);
	if (next.root_text) { /* newer roots hold whatever became of the release */
		lode_trust_state_clear(&a->trust);
		a->trust = next;
	}
	if (rc) {
		journal_save(a, &ignored);
		return rc;
	}
	snprintf(want->model, sizeof(want->model), "%s", a->release.model);
	snprintf(want->version, sizeof(want->version), "%s", a->release.version);
	snprintf(want->sha256, sizeof(want->sha256), "%s", a->release.sha256);
	rc = keep_chain(a, want, chain, err);
	return rc ? rc : journal_save(a, err);
}

/* The chain as the manager has it; free() it. NULL with the error set. */
static char *fetch_chain(
	struct lode_agent *a, const char *model, const char *version, struct lode_err *err)
{
	char path[400];
	snprintf(path, sizeof(path), "/api/v1/models/%s/versions/%s/release", model, version);
	json_t *reply = call_json(a, path, NULL, err);
	char *chain = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	if (reply && !chain)
		lode_err_set(err, -ENOMEM, "no memory for a release");
	json_decref(reply);
	return chain;
}

int trust_ask(struct lode_agent *a, struct running *want, struct lode_err *err)
{
	const struct running asked = *want;
	char *chain = fetch_chain(a, asked.model, asked.version, err);
	int rc = chain ? trust_chain(a, chain, asked.model, asked.version, want, err) : err->code;
	free(chain);
	return rc;
}

/* ---- what runs ---- */

void trust_refresh(struct lode_agent *a)
{
	struct running again;
	struct lode_err err;
	int64_t now_s = a->options.now_s();
	if (!*a->current.model || !a->options.root || now_s < a->refresh_s)
		return;
	a->refresh_s = now_s + REFRESH_S + (int64_t)lode_rng_below(&a->rng, REFRESH_S / 4);
	char *chain = fetch_chain(a, a->current.model, a->current.version, &err);
	int rc = chain ? trust_chain(a, chain, a->current.model, a->current.version, &again, &err)
		       : err.code;
	if (!rc) {
		drop_chain(a, &again);
		rc = gateway_renew(a, chain, &err);
	}
	free(chain);
	a->refresh_error[0] = 0;
	if (rc && rc != -ENOTCONN && rc != -EAGAIN)
		snprintf(a->refresh_error, sizeof(a->refresh_error), "%.280s", err.msg);
	if (*a->refresh_error)
		say(a, "the release of what runs: %s", a->refresh_error);
}

/* Stale: nobody has vouched for it since it expired. A manager may be withholding a newer one, or nobody signed. */
json_t *trust_report(const struct lode_agent *a)
{
	if (!a->trust.root_text)
		return NULL;
	json_t *report = json_pack("{s:I,s:I}", "root", (json_int_t)a->trust.root.version,
		"root_expires", (json_int_t)a->trust.root.expires_s);
	const struct lode_trust_mark *m = lode_trust_mark(&a->trust, a->current.model);
	if (m && m->expires_s) {
		json_object_set_new(report, "release", json_integer((json_int_t)m->counter));
		json_object_set_new(report, "release_expires", json_integer(m->expires_s));
		json_object_set_new(
			report, "stale", json_boolean(a->options.now_s() >= m->expires_s));
	}
	if (*a->refresh_error)
		json_object_set_new(report, "error", json_string(a->refresh_error));
	return report;
}

int trust_check_file(const struct lode_agent *a, const char *path, struct lode_err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && !fstat(fd, &st) && st.st_size > 0;
	void *bytes =
		ok ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	int rc = bytes != MAP_FAILED
			 ? lode_trust_check_file(&a->release, bytes, (size_t)st.st_size, err)
			 : lode_err_set(err, -EBADMSG, "%s: %s", path,
				   ok ? strerror(errno) : "no file, or an empty one");
	if (bytes != MAP_FAILED)
		munmap(bytes, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
	return rc;
}
