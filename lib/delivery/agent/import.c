/* SPDX-License-Identifier: BSD-3-Clause */
/* Bundles: what a manager would have sent, brought by hand. */
#include "agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_staged(const char *path, const uint8_t *bytes, size_t len, struct lode_err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = 0;
	while (fd >= 0 && len && ((n = write(fd, bytes, len)) >= 0 || errno == EINTR)) {
		bytes += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	bool ok = fd >= 0 && !len && !fsync(fd);
	int rc = ok ? 0 : lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

static enum lode_agent_outcome import_file(struct lode_agent *a,
	const struct lode_trust_bundle_file *f, const uint8_t *bytes, struct lode_err *err)
{
	struct running want = {0};
	char staged[PATH_MAX];
	int rc = trust_chain(a, f->chain, NULL, NULL, &want, err);
	if (!rc)
		rc = lode_trust_check_file(&a->release, bytes + f->offset_bytes, f->n_bytes, err);
	path_of(a, "staging", want.sha256, "", staged);
	if (!rc)
		rc = write_staged(staged, bytes + f->offset_bytes, f->n_bytes, err);
	return rc ? failed(a, &want, "verification", false, err) : apply(a, &want, err);
}

static enum lode_agent_outcome import_all(
	struct lode_agent *a, const uint8_t *bytes, size_t len, struct lode_err *err)
{
	struct lode_trust_bundle b;
	enum lode_agent_outcome outcome = LODE_AGENT_UPDATED;
	if (lode_trust_bundle_read(&b, bytes, len, err))
		outcome = LODE_AGENT_FAILED;
	for (unsigned i = 0; i < b.n_files && outcome == LODE_AGENT_UPDATED; i++)
		outcome = import_file(a, &b.files[i], bytes, err);
	lode_trust_bundle_clear(&b);
	return outcome;
}

/* A descriptor of its plain bytes: a sealed one is opened in memory. */
static int open_bundle(const struct lode_agent *a, const char *path, struct lode_err *err)
{
	uint8_t head[LODE_SEAL_HEAD_BYTES];
	const struct lode_seal_keys ours = {a->options.seal_key != NULL,
		(const uint8_t(*)[LODE_SEAL_KEY_BYTES])a->options.seal_key};
	struct lode_seal_reader *r;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!lode_seal_is(head, (size_t)n))
		return fd;
	int rc = lode_seal_reader_open(fd, &ours, NULL, &r, err);
	if (rc)
		return rc;
	fd = memfd_create("bundle", MFD_CLOEXEC);
	rc = fd < 0 ? -errno : lode_seal_open_file(r, fd, err);
	lode_seal_reader_close(r);
	if (rc && fd >= 0)
		close(fd);
	return rc == -EBADMSG ? rc : rc ? lode_err_set(err, rc, "%s: %s", path, strerror(-rc)) : fd;
}

enum lode_agent_outcome lode_agent_import(
	struct lode_agent *a, const char *path, struct lode_err *err)
{
	struct stat st;
	int fd = open_bundle(a, path, err);
	if (fd < 0)
		return LODE_AGENT_FAILED;
	bool ok = !fstat(fd, &st) && st.st_size > 0;
	void *bytes =
		ok ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	close(fd);
	if (bytes == MAP_FAILED) {
		lode_err_set(err, -EIO, "%s: %s", path, ok ? strerror(errno) : "no file, or empty");
		return LODE_AGENT_FAILED;
	}
	enum lode_agent_outcome outcome = import_all(a, bytes, (size_t)st.st_size, err);
	munmap(bytes, (size_t)st.st_size);
	return outcome;
}
