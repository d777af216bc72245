/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys of the tunnel: X25519 (RFC 7748) by OpenSSL. */
#include "lodectl.h"

#include "lode_config.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <unistd.h>

static int write_key_file(const char *path, const uint8_t key[LODE_KEY_BYTES])
{
	char text[48];
	/* O_EXCL: an existing key is never overwritten. */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return complain(EXIT_OTHER, "%s: %s", path, strerror(errno));
	lode_config_key_to_base64(key, text);
	strcat(text, "\n");
	bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
	explicit_bzero(text, sizeof(text));
	ok = close(fd) == 0 && ok;
	if (!ok) {
		unlink(path);
		return complain(EXIT_OTHER, "%s: cannot be written: %s", path, strerror(errno));
	}
	return EXIT_OK;
}

static int print_public(const uint8_t private_key[LODE_KEY_BYTES])
{
	uint8_t public_key[LODE_KEY_BYTES];
	char text[48];
	size_t len = sizeof(public_key);
	EVP_PKEY *key =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, LODE_KEY_BYTES);
	bool ok = key && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1;
	EVP_PKEY_free(key);
	if (!ok)
		return complain(EXIT_OTHER, "OpenSSL refuses the key");
	lode_config_key_to_base64(public_key, text);
	puts(text);
	return EXIT_OK;
}

static int random_key(uint8_t key[LODE_KEY_BYTES])
{
	if (RAND_bytes(key, LODE_KEY_BYTES) != 1)
		return complain(EXIT_ENVIRONMENT, "no random numbers from OpenSSL");
	return EXIT_OK;
}

static int generate(struct lodectl *ctl, int argc, char **argv)
{
	uint8_t key[LODE_KEY_BYTES];
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl key generate FILE");
	int rc = random_key(key);
	if (!rc)
		rc = write_key_file(argv[0], key);
	if (!rc)
		rc = print_public(key);
	explicit_bzero(key, sizeof(key));
	return rc;
}

static int public_of(struct lodectl *ctl, int argc, char **argv)
{
	uint8_t key[LODE_KEY_BYTES];
	struct lode_err err;
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl key public FILE");
	if (lode_config_read_key(argv[0], key, &err))
		return complain(EXIT_CONFIG, "%s", err.msg);
	int rc = print_public(key);
	explicit_bzero(key, sizeof(key));
	return rc;
}

static int shared(struct lodectl *ctl, int argc, char **argv)
{
	uint8_t key[LODE_KEY_BYTES];
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl key shared FILE");
	int rc = random_key(key);
	if (!rc)
		rc = write_key_file(argv[0], key);
	explicit_bzero(key, sizeof(key));
	return rc;
}

const struct command key_commands[] = {
	{"key", "generate", "FILE", "make a private key, print its public key", generate},
	{"key", "public", "FILE", "print the public key of a private key", public_of},
	{"key", "shared", "FILE", "make a pre-shared key for both ends of a peering", shared},
	COMMANDS_END,
};
