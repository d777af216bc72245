/* SPDX-License-Identifier: BSD-3-Clause */
/* Files in place, files kept, and whether a model does any good. */
#include "agent.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HASH_STEP_BYTES (1u << 17)
#define POLL_MS		20

void path_of(const struct lode_agent *a, const char *folder, const char *name, const char *suffix,
	char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/ota/%s/%s%s", a->options.model_dir, folder, name, suffix);
}

int make_folders(struct lode_agent *a, struct lode_err *err)
{
	static const char *const folders[] = {
		"", "/ota", "/ota/staging", "/ota/models", "/ota/backup"};
	char path[PATH_MAX];
	for (size_t i = 0; i < LODE_ARRAY_LEN(folders); i++) {
		snprintf(path, sizeof(path), "%s%s", a->options.model_dir, folders[i]);
		if (mkdir(path, 0700) && errno != EEXIST)
			return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	}
	return 0;
}

int sync_path(const char *path, struct lode_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) ? lode_err_set(err, -errno, "%s: %s", path, strerror(errno))
				     : 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

int file_sha256(const char *path, char hex[SHA_HEX], struct lode_err *err)
{
	uint8_t digest[32];
	uint8_t *buf = malloc(HASH_STEP_BYTES);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && buf && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	ssize_t n = 0;
	while (ok && (n = read(fd, buf, HASH_STEP_BYTES)) > 0)
		ok = EVP_DigestUpdate(md, buf, (size_t)n) == 1;
	ok = ok && !n && EVP_DigestFinal_ex(md, digest, NULL) == 1;
	int rc = ok ? 0 : lode_err_set(err, errno ? -errno : -EIO, "%s: %s", path, strerror(errno));
	if (ok)
		lode_hex(digest, sizeof(digest), hex);
	if (fd >= 0)
		close(fd);
	EVP_MD_CTX_free(md);
	free(buf);
	return rc;
}

static int sync_folder(const struct lode_agent *a, const char *folder, struct lode_err *err)
{
	char path[PATH_MAX];
	path_of(a, folder, "", "", path);
	return sync_path(path, err);
}

/* The active name always points at whole bytes: first a second name for the old ones, then the new ones are
 * renamed over the first. */
int activate(struct lode_agent *a, const char *model, const char *staged, struct lode_err *err)
{
	char active[PATH_MAX], backup[PATH_MAX];
	path_of(a, "models", model, ".bin", active);
	path_of(a, "backup", model, "_PREV.bin", backup);
	unlink(backup);
	if (link(active, backup) && errno != ENOENT)
		return lode_err_set(err, -errno, "%s: %s", backup, strerror(errno));
	int rc = sync_folder(a, "backup", err);
	if (!rc && write_point(a, "backup linked"))
		return lode_err_set(err, -EIO, "power cut");
	if (!rc && rename(staged, active))
		rc = lode_err_set(err, -errno, "%s: %s", active, strerror(errno));
	if (!rc && write_point(a, "model renamed"))
		return lode_err_set(err, -EIO, "power cut");
	return rc ? rc : sync_folder(a, "models", err);
}

int bring_back(struct lode_agent *a, const char *model, struct lode_err *err)
{
	char active[PATH_MAX], backup[PATH_MAX];
	path_of(a, "models", model, ".bin", active);
	path_of(a, "backup", model, "_PREV.bin", backup);
	/* Without a backup there was nothing before: nothing is again. */
	if (rename(backup, active) && (errno != ENOENT || (unlink(active) && errno != ENOENT)))
		return lode_err_set(err, -errno, "%s: %s", active, strerror(errno));
	if (write_point(a, "model brought back"))
		return lode_err_set(err, -EIO, "power cut");
	return sync_folder(a, "models", err);
}

static pid_t run_check(const struct lode_agent *a, const char *path)
{
	pid_t pid = fork();
	if (pid)
		return pid;
	setpgid(0, 0);
	setenv("LODESTONE_MODEL_PATH", path, 1);
	setenv("OXIDE_MODEL_PATH", path, 1); /* the older agent's name */
	execl("/bin/sh", "sh", "-c", a->options.health_check, (char *)NULL);
	_exit(127);
}

/* Exit status of the check, or -ETIME after it was killed. */
static int wait_check(pid_t pid, unsigned timeout_s)
{
	const struct timespec nap = {.tv_nsec = POLL_MS * 1000000l};
	int status = 0;
	for (unsigned waited_ms = 0; waited_ms < timeout_s * 1000; waited_ms += POLL_MS) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
		nanosleep(&nap, NULL);
	}
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -ETIME;
}

int check_health(const struct lode_agent *a, const char *path, struct lode_err *err)
{
	struct stat st;
	if (!a->options.health_check)
		return !stat(path, &st) && st.st_size > 0
			       ? 0
			       : lode_err_set(err, -EINVAL, "%s is empty", path);
	pid_t pid = run_check(a, path);
	int rc = pid < 0 ? -errno : wait_check(pid, a->options.health_timeout_s);
	if (rc == -ETIME)
		return lode_err_set(err, -EINVAL, "the health check did not end within %u s",
			a->options.health_timeout_s);
	return rc ? lode_err_set(err, -EINVAL, "the health check ends with %d", rc) : 0;
}
