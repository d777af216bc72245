/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl release: roots, releases and delegations are made and signed. */
#include "release.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define DAY_S	      (24 * 3600)
#define ROOT_DAYS     365
#define RELEASE_DAYS  90
#define DELEGATE_DAYS 30

static int64_t days_from_now(const struct release_options *o, unsigned otherwise)
{
	return time(NULL) + (int64_t)(o->days ? o->days : otherwise) * DAY_S;
}

static void say_expiry(const char *what, int64_t expires_s)
{
	char date[32];
	release_date(expires_s, date);
	fprintf(stderr, "%s, valid until %s\n", what, date);
}

/* ---- roots ---- */

static void take_role(struct lode_trust_role *to, const struct lode_trust_role *said)
{
	if (said->n_keys) {
		to->n_keys = said->n_keys;
		memcpy(to->keys, said->keys, sizeof(to->keys));
	}
	if (said->threshold)
		to->threshold = said->threshold;
	else if (!to->threshold)
		to->threshold = 1;
}

int release_root(struct lodectl *ctl, int argc, char **argv)
{
	static const char usage[] =
		"root OUT --root-keys PUBLIC,... [--root-threshold N] --release-keys PUBLIC,... "
		"[--release-threshold N] [--from OLD] [--new-epoch] [--days N] [--key KEY]...";
	struct release_options o;
	struct lode_trust_root root = {0};
	struct lode_err err;
	char *envelope, what[48];
	int code = release_options_read(&o,
		"root-keys root-threshold release-keys release-threshold from new-epoch days key",
		usage, argc, argv);
	if (!code && (o.n_rest != 1 || (!o.from && (!o.root.n_keys || !o.release.n_keys))))
		code = complain(EXIT_OTHER, "usage: lodectl release %s", usage);
	if (!code && o.from)
		code = release_read_root(o.from, &root);
	if (code)
		return code;
	take_role(&root.root, &o.root);
	take_role(&root.release, &o.release);
	root.version++;
	root.epoch += o.new_epoch;
	root.issued_s = time(NULL);
	root.expires_s = days_from_now(&o, ROOT_DAYS);
	if (lode_trust_root_make(&root, &envelope, &err))
		return complain(EXIT_CONFIG, "%s", err.msg);
	code = release_sign_all(&o, &envelope);
	if (!code)
		code = release_write(o.rest[0], envelope, strlen(envelope));
	snprintf(what, sizeof(what), "root %" PRIu64, root.version);
	if (!code)
		say_expiry(what, root.expires_s);
	free(envelope);
	return code;
}

/* ---- releases ---- */

/* Hash, length and kind of the model's file. */
static int describe_file(const char *path, struct lode_trust_release *r)
{
	size_t len;
	const void *bytes = release_map(path, &len);
	if (!bytes)
		return EXIT_ENVIRONMENT;
	r->n_bytes = len;
	lode_trust_kind_of(bytes, len, &r->kind);
	int rc = lode_trust_sha256(bytes, len, r->sha256);
	munmap((void *)(uintptr_t)bytes, len);
	return rc ? complain(EXIT_OTHER, "OpenSSL does not hash") : EXIT_OK;
}

/* The epoch is the newest root's. */
static int read_roots(const struct release_options *o, char *texts[ROOTS_MAX], uint64_t *epoch)
{
	struct lode_trust_root root;
	int code = EXIT_OK;
	for (unsigned i = 0; i < o->n_roots && !code; i++) {
		code = release_read_root(o->roots[i], &root);
		texts[i] = code ? NULL : release_read(o->roots[i]);
		*epoch = root.epoch;
	}
	return code;
}

/* The model's file against the release's and the delegation's own words; delegation: envelope or NULL. */
static int fill_release(
	struct lode_trust_release *r, const struct release_options *o, const char *delegation)
{
	struct lode_trust_delegation d;
	struct lode_err err;
	snprintf(r->model, sizeof(r->model), "%s", o->model);
	snprintf(r->version, sizeof(r->version), "%s", o->version);
	r->counter = o->counter;
	r->floor = o->floor_given ? o->floor : o->counter - 1;
	r->issued_s = time(NULL);
	r->expires_s = days_from_now(o, RELEASE_DAYS);
	if (!delegation)
		return EXIT_OK;
	if (lode_trust_delegation_read(delegation, strlen(delegation), &d, &err))
		return complain(EXIT_CONFIG, "%s: %s", o->delegation, err.msg);
	r->delegation = d.version;
	return EXIT_OK;
}

static int make_release(const struct release_options *o, const char *delegation)
{
	struct lode_trust_release r = {0};
	char *roots[ROOTS_MAX] = {0}, *envelope = NULL, *chain = NULL;
	struct lode_err err;
	int code = read_roots(o, roots, &r.epoch);
	if (!code)
		code = describe_file(o->rest[0], &r);
	if (!code)
		code = fill_release(&r, o, delegation);
	if (!code && lode_trust_release_make(&r, &envelope, &err))
		code = complain(EXIT_CONFIG, "%s", err.msg);
	if (!code)
		code = release_sign_all(o, &envelope);
	if (!code && lode_trust_chain_make((const char *const *)roots, o->n_roots, delegation,
			     envelope, &chain, &err))
		code = complain(EXIT_CONFIG, "%s", err.msg);
	if (!code)
		code = release_write(o->rest[1], chain, strlen(chain));
	if (!code)
		say_expiry(*r.kind.role ? "release" : "release of a file that is no model of ours",
			r.expires_s);
	for (unsigned i = 0; i < o->n_roots; i++)
		free(roots[i]);
	free(envelope);
	free(chain);
	return code;
}

int release_sign(struct lodectl *ctl, int argc, char **argv)
{
	static const char usage[] = "sign MODEL OUT --model NAME --version NAME --counter N --root "
				    "ROOT... [--key KEY]... "
				    "[--floor N] [--delegation FILE] [--days N]";
	struct release_options o;
	int code = release_options_read(
		&o, "model version counter root key floor delegation days", usage, argc, argv);
	if (!code && (o.n_rest != 2 || !o.model || !o.version || !o.counter || !o.n_roots))
		code = complain(EXIT_OTHER, "usage: lodectl release %s", usage);
	if (code)
		return code;
	char *delegation = o.delegation ? release_read(o.delegation) : NULL;
	if (o.delegation && !delegation)
		return EXIT_ENVIRONMENT;
	code = make_release(&o, delegation);
	free(delegation);
	return code;
}

/* ---- delegations ---- */

int release_delegate(struct lodectl *ctl, int argc, char **argv)
{
	static const char usage[] =
		"delegate MODEL OUT --model NAME --to PUBLIC --counters FIRST-LAST --number N "
		"--root ROOT [--key KEY]... [--days N]";
	struct release_options o;
	struct lode_trust_root root;
	struct lode_trust_release like = {0};
	struct lode_err err;
	char *envelope;
	int code = release_options_read(
		&o, "model to counters number root key days", usage, argc, argv);
	if (!code && (o.n_rest != 2 || !o.model || !o.to || !o.last || !o.number || o.n_roots != 1))
		code = complain(EXIT_OTHER, "usage: lodectl release %s", usage);
	if (!code)
		code = release_read_root(o.roots[0], &root);
	if (!code)
		code = describe_file(o.rest[0], &like);
	if (code)
		return code;
	struct lode_trust_delegation d = {.version = o.number,
		.epoch = root.epoch,
		.counter_first = o.first,
		.counter_last = o.last,
		.issued_s = time(NULL),
		.expires_s = days_from_now(&o, DELEGATE_DAYS),
		.kind = like.kind};
	struct lode_trust_role to = {0};
	snprintf(d.model, sizeof(d.model), "%s", o.model);
	if (release_read_keys(&to, o.to) || to.n_keys != 1)
		return complain(
			EXIT_OTHER, "--to %s: a public key of 64 hex digits is expected", o.to);
	memcpy(d.key, to.keys[0], sizeof(d.key));
	if (lode_trust_delegation_make(&d, &envelope, &err))
		return complain(EXIT_CONFIG, "%s", err.msg);
	code = release_sign_all(&o, &envelope);
	if (!code)
		code = release_write(o.rest[1], envelope, strlen(envelope));
	if (!code)
		say_expiry("delegation", d.expires_s);
	free(envelope);
	return code;
}
