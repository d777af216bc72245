/* SPDX-License-Identifier: BSD-3-Clause */
/* Where bytes come from: a relay of the site if there is one, else the manager. The relay is not trusted: the hash
 * decides, and one that sends wrong bytes is told to the manager and not asked again for a while. */
#include "agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DISTRUST_NS    (3600 * LODE_NS_PER_S)
#define REST_NS	       (60 * LODE_NS_PER_S) /* of one that was of no use */
#define RELAY_ATTEMPTS 2

static uint64_t now_ns(const struct lode_agent *a)
{
	return a->options.now_ns(a->options.ctx);
}

static void distrust(struct lode_agent *a, const struct step *s, const struct lode_err *err)
{
	say(a, "relay %s: %s: not asked again for an hour", a->options.relay, err->msg);
	a->relay_rests_until_ns = now_ns(a) + DISTRUST_NS;
	snprintf(a->relay_fault, sizeof(a->relay_fault), "%.200s", err->msg);
	memcpy(a->relay_fault_sha256, s->sha256, SHA_HEX);
}

/* Whole and right into the staging folder; *came: bytes that came now. Wrong ones are gone. */
static int fetch_from(struct lode_agent *a, const struct lode_fetch_source *source,
	const struct step *s, uint64_t *came, struct lode_err *err)
{
	char name[SHA_HEX + 8], found[SHA_HEX];
	struct lode_blob_writer *w;
	uint64_t had = 0;
	snprintf(name, sizeof(name), "get-%s", s->sha256);
	int rc = lode_blob_begin(a->staging, name, 0, &w, &had, err);
	if (rc)
		return rc;
	if (had > s->n_bytes) {
		lode_blob_abandon(w); /* not ours */
		return lode_err_set(err, -EBADMSG, "more is staged than there should be");
	}
	rc = lode_fetch_blob(a->fetch, source, s->sha256, s->n_bytes, w, err);
	*came += lode_blob_written(w) - had;
	if (!rc)
		return lode_blob_commit(w, s->sha256, found, err);
	if (rc == -EFBIG)
		lode_blob_abandon(w);
	else
		lode_blob_suspend(w);
	return rc;
}

/* false: ask the manager. */
static bool ask_relay(
	struct lode_agent *a, const struct step *s, uint64_t *came, int *rc, struct lode_err *err)
{
	const struct lode_fetch_source relay = {.url = a->relay_url, .attempts = RELAY_ATTEMPTS};
	if (!*a->relay_url || now_ns(a) < a->relay_rests_until_ns)
		return false;
	*rc = fetch_from(a, &relay, s, came, err);
	switch (*rc) {
	case 0:
	case -ECANCELED:
	case -EBUSY:
	case -ENOSPC:
		return true;
	case -EBADMSG:
	case -EFBIG:
		distrust(a, s, err);
		return false;
	default:
		say(a, "relay: %s: asking the manager", err->msg);
		a->relay_rests_until_ns = now_ns(a) + REST_NS;
		return false;
	}
}

int fetch_step(struct lode_agent *a, const struct step *s, struct lode_err *err)
{
	const struct lode_agent_options *o = &a->options;
	const struct lode_fetch_source manager = {.url = a->blobs_url,
		.device = o->device_id,
		.token = o->token,
		.ca = o->ca,
		.cert = o->cert,
		.key = o->key};
	uint64_t from_relay = 0, ignored = 0;
	int rc = 0;
	if (lode_blob_size(a->staging, s->sha256) == (int64_t)s->n_bytes ||
		ask_relay(a, s, &from_relay, &rc, err))
		return rc;
	rc = fetch_from(a, &manager, s, &ignored, err);
	if (rc != -EBADMSG)
		return rc;
	/* What was here from before was wrong: a torn beginning, or a relay's. */
	if (from_relay)
		distrust(a, s, err);
	say(a, "%.12s...: %s: from the start", s->sha256, err->msg);
	return fetch_from(a, &manager, s, &ignored, err);
}

static int unseal(struct lode_agent *a, const struct step *s, const char *from, const char *to,
	struct lode_err *err)
{
	const struct lode_seal_keys ours = {
		1, (const uint8_t(*)[LODE_SEAL_KEY_BYTES])a->options.seal_key};
	struct lode_seal_reader *r;
	int fd = open(from, O_RDONLY | O_CLOEXEC), out = -1;
	int rc = fd < 0 ? lode_err_set(err, -errno, "%s: %s", from, strerror(errno))
			: lode_seal_reader_open(fd, &ours, s->wrapped_key, &r, err);
	if (rc)
		return rc;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	rc = out < 0 ? -errno : lode_seal_open_file(r, out, err);
	if (!rc && fsync(out))
		rc = -errno;
	if (out >= 0)
		close(out);
	lode_seal_reader_close(r);
	return rc == -EBADMSG ? rc : rc ? lode_err_set(err, rc, "%s: %s", to, strerror(-rc)) : 0;
}

int open_step(struct lode_agent *a, const struct step *s, char path[PATH_MAX], struct lode_err *err)
{
	char name[72], sealed[PATH_MAX];
	lode_blob_path(s->sha256, name);
	path_of(a, "staging", name, "", path);
	if (!s->sealed)
		return 0;
	if (!a->options.seal_key)
		return lode_err_set(err, -ENOKEY, "the bytes are sealed, and there is no key here");
	memcpy(sealed, path, sizeof(sealed));
	path_of(a, "staging", s->sha256, ".opened", path);
	int rc = unseal(a, s, sealed, path, err);
	if (rc)
		unlink(path);
	lode_blob_delete(a->staging, s->sha256);
	return rc;
}
