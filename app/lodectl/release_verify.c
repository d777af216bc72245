/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl release: judging as an appliance would, and bundles. */
#include "release.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- verify ---- */

static int check_file(const struct lode_trust_release *r, const char *path)
{
	struct lode_err err;
	size_t len;
	const void *bytes = release_map(path, &len);
	if (!bytes)
		return EXIT_ENVIRONMENT;
	int rc = lode_trust_check_file(r, bytes, len, &err);
	munmap((void *)(uintptr_t)bytes, len);
	return rc ? complain(EXIT_OTHER, "%s: %s", path, err.msg) : EXIT_OK;
}

static int judge(const char *anchor, const char *chain, struct lode_trust_state *next,
	struct lode_trust_release *r)
{
	struct lode_trust_state s;
	struct lode_err err;
	if (lode_trust_begin(&s, anchor, NULL, &err))
		return complain(EXIT_CONFIG, "%s", err.msg);
	int rc = lode_trust_judge(&s, chain, strlen(chain), NULL, NULL, time(NULL), next, r, &err);
	lode_trust_state_clear(&s);
	return rc ? complain(EXIT_OTHER, "refused: %s", err.msg) : EXIT_OK;
}

int release_verify(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_trust_state next = {0};
	struct lode_trust_release r;
	if (argc < 2 || argc > 3)
		return complain(EXIT_OTHER, "usage: lodectl release verify ROOT RELEASE [MODEL]");
	char *anchor = release_read(argv[0]);
	char *chain = anchor ? release_read(argv[1]) : NULL;
	int code = chain ? judge(anchor, chain, &next, &r) : EXIT_ENVIRONMENT;
	if (!code && argc == 3)
		code = check_file(&r, argv[2]);
	if (!code) {
		json_t *v = release_describe(&r);
		json_object_set_new(v, "root", json_integer((json_int_t)next.root.version));
		code = print_answer(ctl, v);
	}
	lode_trust_state_clear(&next);
	free(anchor);
	free(chain);
	return code;
}

/* ---- bundles ---- */

static int copy_file(int to, const char *path, uint64_t n_bytes)
{
	size_t len;
	const uint8_t *bytes = release_map(path, &len);
	int code = bytes && len == n_bytes ? EXIT_OK : EXIT_ENVIRONMENT;
	for (size_t done = 0; !code && done < len;) {
		ssize_t n = write(to, bytes + done, len - done);
		if (n < 0 && errno != EINTR)
			code = complain(EXIT_ENVIRONMENT, "%s: %s", path, strerror(errno));
		done += n > 0 ? (size_t)n : 0;
	}
	if (bytes)
		munmap((void *)(uintptr_t)bytes, len);
	return code;
}

static int write_bundle(const char *out, struct lode_trust_bundle *b, char **argv)
{
	uint8_t *head;
	size_t len;
	struct lode_err err;
	if (lode_trust_bundle_head(b, &head, &len, &err))
		return complain(EXIT_CONFIG, "%s", err.msg);
	int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool ok = fd >= 0 && write(fd, head, len) == (ssize_t)len;
	int code = ok ? EXIT_OK : complain(EXIT_ENVIRONMENT, "%s: %s", out, strerror(errno));
	for (unsigned i = 0; i < b->n_files && !code; i++)
		code = copy_file(fd, argv[2 * i + 1], b->files[i].n_bytes);
	if (!code && fsync(fd))
		code = complain(EXIT_ENVIRONMENT, "%s: %s", out, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(head);
	return code;
}

/* A bundle with a file that is not what was signed would be found out on site: too late. */
static int add_file(struct lode_trust_bundle *b, const char *release, const char *model)
{
	struct lode_trust_release r;
	struct lode_err err;
	char *chain = release_read(release);
	if (!chain)
		return EXIT_ENVIRONMENT;
	b->files[b->n_files++].chain = chain;
	if (lode_trust_release_read(chain, strlen(chain), &r, &err))
		return complain(EXIT_CONFIG, "%s: %s", release, err.msg);
	b->files[b->n_files - 1].n_bytes = r.n_bytes;
	return check_file(&r, model);
}

int release_bundle(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_trust_bundle b = {0};
	int code = EXIT_OK;
	if (argc < 3 || argc % 2 == 0 || argc / 2 > LODE_TRUST_BUNDLE_FILES_MAX)
		return complain(EXIT_OTHER,
			"usage: lodectl release bundle OUT RELEASE MODEL [RELEASE MODEL]...");
	for (int i = 1; i < argc && !code; i += 2)
		code = add_file(&b, argv[i], argv[i + 1]);
	if (!code)
		code = write_bundle(argv[0], &b, argv + 1);
	lode_trust_bundle_clear(&b);
	return code;
}

static int unpack(const char *folder, const struct lode_trust_bundle_file *f, const uint8_t *bytes)
{
	struct lode_trust_release r;
	struct lode_err err;
	char path[4096];
	if (lode_trust_release_read(f->chain, strlen(f->chain), &r, &err) ||
		lode_trust_check_file(&r, bytes + f->offset_bytes, f->n_bytes, &err))
		return complain(EXIT_OTHER, "%s", err.msg);
	snprintf(path, sizeof(path), "%s/%s-%s.bin", folder, r.model, r.version);
	int code = release_write(path, bytes + f->offset_bytes, f->n_bytes);
	snprintf(path, sizeof(path), "%s/%s-%s.release", folder, r.model, r.version);
	if (!code)
		code = release_write(path, f->chain, strlen(f->chain));
	if (!code)
		printf("%s %s\n", r.model, r.version);
	return code;
}

int release_unbundle(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_trust_bundle b;
	struct lode_err err;
	size_t len;
	if (argc != 2)
		return complain(EXIT_OTHER, "usage: lodectl release unbundle BUNDLE FOLDER");
	const void *bytes = release_map(argv[0], &len);
	if (!bytes)
		return EXIT_ENVIRONMENT;
	int code = lode_trust_bundle_read(&b, bytes, len, &err)
			   ? complain(EXIT_CONFIG, "%s: %s", argv[0], err.msg)
			   : EXIT_OK;
	if (!code && mkdir(argv[1], 0755) && errno != EEXIST)
		code = complain(EXIT_ENVIRONMENT, "%s: %s", argv[1], strerror(errno));
	for (unsigned i = 0; i < b.n_files && !code; i++)
		code = unpack(argv[1], &b.files[i], bytes);
	lode_trust_bundle_clear(&b);
	munmap((void *)(uintptr_t)bytes, len);
	return code;
}
