/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl model list, upload, pin, unpin, delete: versions in the manager's store. */
#include "manager.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES    (256 * 1024)
#define ATTEMPTS      8
#define RETRY_BEGIN_S 1u

static int list_models(struct lodectl *ctl, int argc, char **argv)
{
	static const struct column models[] = {{"MODEL", "model_id"}};
	static const char *const heads[] = {"VERSION", "BYTES", "SHA-256", "RELEASE", "PINNED"};
	char path[MANAGER_PATH_MAX];
	struct table t;
	size_t i;
	json_t *version;
	if (!argc)
		return manager_table(ctl, "/models", models, 1);
	if (!manager_path(path, "/models/*", argc, argv, 1))
		return EXIT_OTHER;
	json_t *v = manager_once(ctl, "GET", path, NULL);
	if (!v || ctl->json)
		return print_answer(ctl, v);
	table_begin(&t, LODE_ARRAY_LEN(heads), heads);
	json_array_foreach(json_object_get(v, "versions"), i, version)
	{
		table_cell(&t, "%s", json_string_value(json_object_get(version, "version")));
		table_cell(&t, "%lld",
			(long long)json_integer_value(json_object_get(version, "size_bytes")));
		table_cell(&t, "%.16s", json_string_value(json_object_get(version, "sha256")));
		json_int_t release = json_integer_value(json_object_get(version, "release"));
		if (release)
			table_cell(&t, "%lld", (long long)release);
		else
			table_cell(&t, "unsigned");
		table_cell(&t, "%s", json_is_true(json_object_get(version, "pinned")) ? "yes" : "");
	}
	table_end(&t, stdout);
	json_decref(v);
	return EXIT_OK;
}

static int hash_file(int fd, const char *file, char hex[65])
{
	uint8_t digest[32], *buf = malloc(READ_BYTES);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	ssize_t n = -1;
	bool ok = buf && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	while (ok && (n = read(fd, buf, READ_BYTES)) > 0)
		ok = EVP_DigestUpdate(md, buf, (size_t)n) == 1;
	ok = ok && !n && EVP_DigestFinal_ex(md, digest, NULL) == 1;
	if (ok)
		lode_hex(digest, sizeof(digest), hex);
	EVP_MD_CTX_free(md);
	free(buf);
	return ok ? EXIT_OK : complain(EXIT_OTHER, "%s: %s", file, strerror(errno));
}

/* From where the manager says it has the bytes to, again when the line is cut. */
static json_t *send_file(struct manager *m, const char *id, int fd, uint64_t n_bytes)
{
	char path[MANAGER_PATH_MAX];
	long status = 0;
	snprintf(path, sizeof(path), "/uploads/%s", id);
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		json_t *state = manager_call(m, "GET", path, NULL);
		uint64_t have = (uint64_t)json_integer_value(json_object_get(state, "offset"));
		json_decref(state);
		if (!state || lseek(fd, (off_t)have, SEEK_SET) < 0)
			return NULL;
		struct upload up = {path, fd, have, n_bytes};
		json_t *v = manager_send(m, &up, &status);
		if (v)
			return v;
		/* 409: another attempt of ours had got further than was known. */
		if (status && status < 500 && status != 409)
			break;
		fprintf(stderr, "lodectl: the line was cut, going on in %u s\n",
			RETRY_BEGIN_S << i);
		sleep(RETRY_BEGIN_S << i);
	}
	complain(EXIT_OTHER, "the upload failed (%ld); the same command goes on where it was",
		status);
	return NULL;
}

static int upload(struct lodectl *ctl, int argc, char **argv)
{
	struct stat st;
	char sha256[65];
	if (argc != 3)
		return complain(EXIT_OTHER, "usage: lodectl model upload MODEL VERSION FILE");
	int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return complain(EXIT_OTHER, "%s: %s", argv[2], strerror(errno));
	int code = hash_file(fd, argv[2], sha256);
	struct manager *m = code ? NULL : manager_open(ctl);
	json_t *v = m ? manager_call(m, "POST", "/uploads",
				json_pack("{s:s,s:s,s:s}", "model_id", argv[0], "version", argv[1],
					"sha256", sha256))
		      : NULL;
	/* Without an upload's name the bytes are there already. */
	const char *id = json_string_value(json_object_get(v, "id"));
	if (id) {
		json_t *sent = send_file(m, id, fd, (uint64_t)st.st_size);
		json_decref(v);
		v = sent;
	}
	manager_close(m);
	close(fd);
	if (!v)
		return code ? code : EXIT_OTHER;
	if (ctl->json)
		return print_answer(ctl, v);
	printf("%s %s: %lld bytes, SHA-256 %.16s...\n", argv[0], argv[1], (long long)st.st_size,
		sha256);
	json_decref(v);
	return EXIT_OK;
}

static int set_pin(struct lodectl *ctl, int argc, char **argv, bool pinned)
{
	char path[MANAGER_PATH_MAX];
	if (!manager_path(path, "/models/*/versions/*/pin", argc, argv, 2))
		return EXIT_OTHER;
	return manager_do(ctl, "POST", path, json_pack("{s:b}", "pinned", pinned), "%s %s is %s",
		argv[0], argv[1], pinned ? "kept whatever happens" : "no longer pinned");
}

static int pin(struct lodectl *ctl, int argc, char **argv)
{
	return set_pin(ctl, argc, argv, true);
}

static int unpin(struct lodectl *ctl, int argc, char **argv)
{
	return set_pin(ctl, argc, argv, false);
}

static int delete_version(struct lodectl *ctl, int argc, char **argv)
{
	char path[MANAGER_PATH_MAX];
	if (!manager_path(path, "/models/*/versions/*", argc, argv, 2))
		return EXIT_OTHER;
	return manager_do(ctl, "DELETE", path, NULL, "%s %s is taken out", argv[0], argv[1]);
}

const struct command version_commands[] = {
	{"model", "list", "[MODEL]", "the manager's models, or a model's versions", list_models},
	{"model", "upload", "MODEL VERSION FILE", "add a version; goes on after a cut", upload},
	{"model", "pin", "MODEL VERSION", "keep a version whatever happens", pin},
	{"model", "unpin", "MODEL VERSION", "no longer", unpin},
	{"model", "delete", "MODEL VERSION", "take a version out", delete_version},
	COMMANDS_END,
};
