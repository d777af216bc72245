/* SPDX-License-Identifier: BSD-3-Clause */
#include "seal_keys.h"

#include "lode_config.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int seal_keys_load(struct seal_keys *k, const char *paths, struct lode_err *err)
{
	char list[1024], *save = NULL;
	int rc = 0;
	k->ring = (struct lode_seal_keys){0, (const uint8_t(*)[LODE_SEAL_KEY_BYTES])k->key};
	snprintf(list, sizeof(list), "%s", paths);
	for (char *p = strtok_r(list, " ", &save); p && !rc; p = strtok_r(NULL, " ", &save)) {
		if (k->ring.n == SEAL_KEYS_MAX)
			return lode_err_set(err, -EINVAL, "seal_keys: up to %d", SEAL_KEYS_MAX);
		rc = lode_config_read_key(p, k->key[k->ring.n++], err);
	}
	return rc;
}

/* Beside, synced, then linked: never half a key, and never over another. */
static int make_key(const char *path, struct lode_err *err)
{
	uint8_t key[LODE_SEAL_KEY_BYTES];
	char text[64], beside[PATH_MAX];
	snprintf(beside, sizeof(beside), "%s.new", path);
	if (RAND_bytes(key, sizeof(key)) != 1)
		return lode_err_set(err, -EIO, "no random numbers from OpenSSL");
	lode_config_key_to_base64(key, text);
	strcat(text, "\n");
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !fsync(fd) &&
		  (!link(beside, path) || errno == EEXIST);
	int rc = ok ? 0 : lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	explicit_bzero(key, sizeof(key));
	explicit_bzero(text, sizeof(text));
	if (fd >= 0)
		close(fd);
	unlink(beside);
	return rc;
}

int seal_key_own(struct seal_keys *k, const char *path, struct lode_err *err)
{
	int rc = access(path, F_OK) ? make_key(path, err) : 0;
	k->ring = (struct lode_seal_keys){1, (const uint8_t(*)[LODE_SEAL_KEY_BYTES])k->key};
	return rc ? rc : lode_config_read_key(path, k->key[0], err);
}
