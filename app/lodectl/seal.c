/* SPDX-License-Identifier: BSD-3-Clause */
/* Model files that only named keys open. The keys are those of `lodectl key`. */
#include "lodectl.h"

#include "lode_config.h"
#include "lode_seal.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef uint8_t key_bytes[LODE_SEAL_KEY_BYTES];

/* A file beside `path`, to be renamed over it when whole. */
struct output {
	const char *path;
	char beside[PATH_MAX];
	int fd;
};

static int output_begin(struct output *o, const char *path)
{
	o->path = path;
	if (snprintf(o->beside, sizeof(o->beside), "%s.new", path) >= (int)sizeof(o->beside))
		return complain(EXIT_ENVIRONMENT, "%s: the path is too long", path);
	o->fd = open(o->beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return o->fd < 0 ? complain(EXIT_ENVIRONMENT, "%s: %s", o->beside, strerror(errno))
			 : EXIT_OK;
}

/* rc: of what wrote it. */
static int output_end(struct output *o, int rc, const struct lode_err *err)
{
	bool kept = !rc && !fsync(o->fd) && !rename(o->beside, o->path);
	int code = kept ? EXIT_OK
		   : rc ? complain(EXIT_OTHER, "%s", err->msg)
			: complain(EXIT_ENVIRONMENT, "%s: %s", o->path, strerror(errno));
	close(o->fd);
	if (!kept)
		unlink(o->beside);
	return code;
}

static int open_input(const char *path, int *fd)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? complain(EXIT_OTHER, "%s: %s", path, strerror(errno)) : EXIT_OK;
}

/* Public keys as `lodectl key public` prints them. */
static int read_publics(key_bytes *keys, int argc, char **argv)
{
	if (argc > LODE_SEAL_WRAPS_MAX)
		return complain(EXIT_OTHER, "a file has up to %d readers", LODE_SEAL_WRAPS_MAX);
	for (int i = 0; i < argc; i++)
		if (lode_config_key_from_base64(argv[i], keys[i]))
			return complain(EXIT_OTHER,
				"'%.60s' is no public key: 32 bytes in base64, as lodectl key "
				"public prints them",
				argv[i]);
	return EXIT_OK;
}

static int encrypt(struct lodectl *ctl, int argc, char **argv)
{
	key_bytes keys[LODE_SEAL_WRAPS_MAX];
	struct output o;
	struct lode_err err = {0};
	int in;
	if (argc < 3)
		return complain(EXIT_OTHER, "usage: lodectl model encrypt FILE OUT PUBLIC-KEY...");
	int code = read_publics(keys, argc - 2, argv + 2);
	if (!code)
		code = open_input(argv[0], &in);
	if (code)
		return code;
	code = output_begin(&o, argv[1]);
	const struct lode_seal_keys readers = {(unsigned)argc - 2, keys};
	if (!code)
		code = output_end(&o,
			lode_seal_file(in, &(struct lode_seal_sink){lode_seal_to_fd, &o.fd},
				&readers, &err),
			&err);
	close(in);
	return code;
}

static int decrypt_to(const char *out, int in, const struct lode_seal_keys *ours)
{
	struct lode_seal_reader *r;
	struct lode_err err = {0};
	struct output o;
	if (lode_seal_reader_open(in, ours, NULL, &r, &err))
		return complain(EXIT_OTHER, "%s", err.msg);
	int code = output_begin(&o, out);
	if (!code)
		code = output_end(&o, lode_seal_open_file(r, o.fd, &err), &err);
	lode_seal_reader_close(r);
	return code;
}

static int decrypt(struct lodectl *ctl, int argc, char **argv)
{
	key_bytes key;
	struct lode_err err = {0};
	int in;
	if (argc != 3)
		return complain(EXIT_OTHER, "usage: lodectl model decrypt FILE OUT KEY-FILE");
	if (lode_config_read_key(argv[2], key, &err))
		return complain(EXIT_CONFIG, "%s", err.msg);
	int code = open_input(argv[0], &in);
	if (!code)
		code = decrypt_to(argv[1], in, &(struct lode_seal_keys){1, &key});
	OPENSSL_cleanse(key, sizeof(key));
	return code;
}

static int rekey(struct lodectl *ctl, int argc, char **argv)
{
	key_bytes key, readers[LODE_SEAL_WRAPS_MAX];
	struct lode_err err = {0};
	struct output o;
	int in;
	if (argc < 4)
		return complain(
			EXIT_OTHER, "usage: lodectl model rekey FILE OUT KEY-FILE PUBLIC-KEY...");
	if (lode_config_read_key(argv[2], key, &err))
		return complain(EXIT_CONFIG, "%s", err.msg);
	int code = read_publics(readers, argc - 3, argv + 3);
	if (!code)
		code = open_input(argv[0], &in);
	if (code)
		return code;
	const struct lode_seal_keys ours = {1, &key}, theirs = {(unsigned)argc - 3, readers};
	code = output_begin(&o, argv[1]);
	if (!code)
		code = output_end(&o,
			lode_seal_rewrap(in, &(struct lode_seal_sink){lode_seal_to_fd, &o.fd},
				&ours, &theirs, &err),
			&err);
	OPENSSL_cleanse(key, sizeof(key));
	close(in);
	return code;
}

/* Whom a sealed file is for. */
static int readers(struct lodectl *ctl, int argc, char **argv)
{
	uint8_t wraps[LODE_SEAL_WRAPS_MAX * LODE_SEAL_WRAP_BYTES];
	char name[LODE_SEAL_KEY_NAME_LEN];
	struct lode_err err = {0};
	unsigned n;
	int in;
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl model readers FILE");
	int code = open_input(argv[0], &in);
	if (code)
		return code;
	if (lode_seal_read_wraps(in, wraps, &n, &err))
		code = complain(EXIT_OTHER, "%s", err.msg);
	close(in);
	json_t *list = json_array();
	for (unsigned i = 0; !code && i < n; i++) {
		lode_seal_wrap_name(wraps + i * LODE_SEAL_WRAP_BYTES, name);
		json_array_append_new(list, json_string(name));
		if (!ctl->json)
			puts(name);
	}
	if (!code && ctl->json)
		print_json(list);
	json_decref(list);
	return code;
}

static int key_name(struct lodectl *ctl, int argc, char **argv)
{
	key_bytes key;
	char name[LODE_SEAL_KEY_NAME_LEN];
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl key id PUBLIC-KEY");
	int code = read_publics(&key, argc, argv);
	if (code)
		return code;
	lode_seal_key_name(key, name);
	puts(name);
	return EXIT_OK;
}

const struct command seal_commands[] = {
	{"model", "encrypt", "FILE OUT PUBLIC-KEY...", "seal a file for these keys", encrypt},
	{"model", "decrypt", "FILE OUT KEY-FILE", "open a sealed file", decrypt},
	{"model", "rekey", "FILE OUT KEY-FILE PUBLIC-KEY...", "a sealed file for other keys",
		rekey},
	{"model", "readers", "FILE", "ids of the keys that open a sealed file", readers},
	{"key", "id", "PUBLIC-KEY", "id of a public key, as sealed files name it", key_name},
	COMMANDS_END,
};
