/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl release: keys, and signatures under what is there. */
#include "release.h"

#include "lode_file.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAYS_MAX 3650

/* ---- files ---- */

const void *release_map(const char *path, size_t *len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode);
	*len = ok ? (size_t)st.st_size : 0;
	void *bytes = *len ? mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	if (bytes == MAP_FAILED)
		complain(EXIT_ENVIRONMENT, "%s: %s", path,
			ok && !*len ? "the file is empty" : strerror(errno));
	if (fd >= 0)
		close(fd);
	return bytes == MAP_FAILED ? NULL : bytes;
}

char *release_read(const char *path)
{
	size_t len;
	const void *bytes = release_map(path, &len);
	char *text = bytes ? strndup(bytes, len) : NULL;
	if (bytes)
		munmap((void *)(uintptr_t)bytes, len);
	return text;
}

int release_write(const char *path, const void *bytes, size_t len)
{
	struct lode_err err;
	return lode_file_replace(path, 0644, bytes, len, &err)
		       ? complain(EXIT_ENVIRONMENT, "%s", err.msg)
		       : EXIT_OK;
}

void release_date(int64_t time_s, char text[32])
{
	time_t t = (time_t)time_s;
	struct tm tm;
	gmtime_r(&t, &tm);
	strftime(text, 32, "%Y-%m-%d %H:%M UTC", &tm);
}

int release_read_root(const char *path, struct lode_trust_root *root)
{
	struct lode_err err;
	char *text = release_read(path);
	if (!text)
		return EXIT_ENVIRONMENT;
	int rc = lode_trust_root_read(text, strlen(text), root, &err);
	free(text);
	return rc ? complain(EXIT_CONFIG, "%s: %s", path, err.msg) : EXIT_OK;
}

/* ---- options ---- */

int release_read_keys(struct lode_trust_role *role, const char *text)
{
	role->n_keys = 0;
	for (const char *at = text; *at; at += *at == ',') {
		size_t n = strcspn(at, ",");
		if (n != 2 * LODE_TRUST_KEY_BYTES || role->n_keys == LODE_TRUST_KEYS_MAX)
			return -EINVAL;
		for (unsigned i = 0; i < LODE_TRUST_KEY_BYTES; i++)
			if (sscanf(at + 2 * i, "%2hhx", &role->keys[role->n_keys][i]) != 1)
				return -EINVAL;
		role->n_keys++;
		at += n;
	}
	return role->n_keys ? 0 : -EINVAL;
}

static int read_number(uint64_t *to, const char *text, uint64_t max)
{
	char *end;
	errno = 0;
	*to = strtoull(text, &end, 10);
	return errno || end == text || *end || *text == '-' || *to > max ? -EINVAL : 0;
}

/* "FIRST-LAST" */
static int read_range(struct release_options *o, const char *text)
{
	char first[24];
	const char *dash = strchr(text, '-');
	if (!dash || (size_t)(dash - text) >= sizeof(first))
		return -EINVAL;
	snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
	return read_number(&o->first, first, INT64_MAX)
		       ? -EINVAL
		       : read_number(&o->last, dash + 1, INT64_MAX);
}

static int read_small(unsigned *to, const char *text, unsigned max)
{
	uint64_t v;
	int rc = read_number(&v, text, max);
	*to = (unsigned)v;
	return rc || !v ? -EINVAL : 0;
}

enum option_id {
	O_MODEL = 256,
	O_VERSION,
	O_DELEGATION,
	O_FROM,
	O_TO,
	O_KEY,
	O_ROOT,
	O_ROOT_KEYS,
	O_ROOT_THRESHOLD,
	O_RELEASE_KEYS,
	O_RELEASE_THRESHOLD,
	O_COUNTER,
	O_COUNTERS,
	O_FLOOR,
	O_NUMBER,
	O_DAYS,
	O_NEW_EPOCH,
};

static int take_option(struct release_options *o, int id, const char *value)
{
	switch (id) {
	case O_MODEL:
		o->model = value;
		return 0;
	case O_VERSION:
		o->version = value;
		return 0;
	case O_DELEGATION:
		o->delegation = value;
		return 0;
	case O_FROM:
		o->from = value;
		return 0;
	case O_TO:
		o->to = value;
		return 0;
	case O_KEY:
		if (o->n_keys == KEYS_MAX)
			return -EINVAL;
		o->keys[o->n_keys++] = value;
		return 0;
	case O_ROOT:
		if (o->n_roots == ROOTS_MAX)
			return -EINVAL;
		o->roots[o->n_roots++] = value;
		return 0;
	case O_ROOT_KEYS:
		return release_read_keys(&o->root, value);
	case O_ROOT_THRESHOLD:
		return read_small(&o->root.threshold, value, LODE_TRUST_KEYS_MAX);
	case O_RELEASE_KEYS:
		return release_read_keys(&o->release, value);
	case O_RELEASE_THRESHOLD:
		return read_small(&o->release.threshold, value, LODE_TRUST_KEYS_MAX);
	case O_COUNTER:
		return read_number(&o->counter, value, INT64_MAX);
	case O_COUNTERS:
		return read_range(o, value);
	case O_FLOOR:
		o->floor_given = true;
		return read_number(&o->floor, value, INT64_MAX);
	case O_NUMBER:
		return read_number(&o->number, value, INT64_MAX);
	case O_DAYS:
		return read_small(&o->days, value, DAYS_MAX);
	case O_NEW_EPOCH:
		o->new_epoch = true;
		return 0;
	default:
		return -EINVAL;
	}
}

static bool is_allowed(const char *allowed, const char *name)
{
	size_t n = strlen(name);
	for (const char *at = allowed; (at = strstr(at, name)); at += n)
		if ((at == allowed || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
			return true;
	return false;
}

int release_options_read(
	struct release_options *o, const char *allowed, const char *usage, int argc, char **argv)
{
	static const struct option all[] = {{"model", 1, NULL, O_MODEL},
		{"version", 1, NULL, O_VERSION}, {"delegation", 1, NULL, O_DELEGATION},
		{"from", 1, NULL, O_FROM}, {"to", 1, NULL, O_TO}, {"key", 1, NULL, O_KEY},
		{"root", 1, NULL, O_ROOT}, {"root-keys", 1, NULL, O_ROOT_KEYS},
		{"root-threshold", 1, NULL, O_ROOT_THRESHOLD},
		{"release-keys", 1, NULL, O_RELEASE_KEYS},
		{"release-threshold", 1, NULL, O_RELEASE_THRESHOLD},
		{"counter", 1, NULL, O_COUNTER}, {"counters", 1, NULL, O_COUNTERS},
		{"floor", 1, NULL, O_FLOOR}, {"number", 1, NULL, O_NUMBER},
		{"days", 1, NULL, O_DAYS}, {"new-epoch", 0, NULL, O_NEW_EPOCH}, {0}};
	int id, at, rc = 0;
	*o = (struct release_options){0};
	optind = 0; /* main has read its own with the same reader */
	while (!rc && (id = getopt_long(argc + 1, argv - 1, "", all, &at)) != -1) {
		if (id == '?')
			return complain(EXIT_OTHER, "usage: lodectl release %s", usage);
		rc = is_allowed(allowed, all[at].name) ? take_option(o, id, optarg) : -ENOTSUP;
	}
	o->rest = argv - 1 + optind;
	o->n_rest = argc + 1 - optind;
	if (!rc)
		return EXIT_OK;
	return rc == -ENOTSUP
		       ? complain(EXIT_OTHER, "--%s is not for this: usage: lodectl release %s",
				 all[at].name, usage)
		       : complain(EXIT_OTHER, "--%s %s: usage: lodectl release %s", all[at].name,
				 optarg ? optarg : "", usage);
}

/* ---- keys ---- */

/* PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` makes it too; OpenSSL asks for a pass phrase. */
static int read_seed(const char *path, uint8_t seed[LODE_TRUST_KEY_BYTES])
{
	size_t len = LODE_TRUST_KEY_BYTES;
	FILE *f = fopen(path, "re");
	if (!f)
		return complain(EXIT_ENVIRONMENT, "%s: %s", path, strerror(errno));
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	bool ok = key && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 &&
		  EVP_PKEY_get_raw_private_key(key, seed, &len) == 1;
	EVP_PKEY_free(key);
	return ok ? EXIT_OK
		  : complain(EXIT_CONFIG, "%s: an Ed25519 private key in PEM is expected", path);
}

static int write_seed(const char *path, const uint8_t seed[LODE_TRUST_KEY_BYTES])
{
	/* O_EXCL: an existing key is never overwritten. */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!f)
		return complain(EXIT_ENVIRONMENT, "%s: %s", path, strerror(errno));
	EVP_PKEY *key =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, LODE_TRUST_KEY_BYTES);
	bool ok = key && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 &&
		  !fflush(f) && !fsync(fd);
	EVP_PKEY_free(key);
	ok = !fclose(f) && ok;
	if (ok)
		return EXIT_OK;
	unlink(path);
	return complain(EXIT_ENVIRONMENT, "%s: cannot be written", path);
}

static int print_public(const uint8_t seed[LODE_TRUST_KEY_BYTES])
{
	uint8_t key[LODE_TRUST_KEY_BYTES];
	if (lode_trust_public(seed, key))
		return complain(EXIT_OTHER, "OpenSSL refuses the key");
	for (unsigned i = 0; i < sizeof(key); i++)
		printf("%02x", key[i]);
	putchar('\n');
	return EXIT_OK;
}

static int keygen(struct lodectl *ctl, int argc, char **argv)
{
	uint8_t seed[LODE_TRUST_KEY_BYTES];
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl release keygen FILE");
	if (RAND_priv_bytes(seed, sizeof(seed)) != 1)
		return complain(EXIT_ENVIRONMENT, "no random numbers from OpenSSL");
	int code = write_seed(argv[0], seed);
	if (!code)
		code = print_public(seed);
	explicit_bzero(seed, sizeof(seed));
	return code;
}

static int public_of(struct lodectl *ctl, int argc, char **argv)
{
	uint8_t seed[LODE_TRUST_KEY_BYTES];
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl release public FILE");
	int code = read_seed(argv[0], seed);
	if (!code)
		code = print_public(seed);
	explicit_bzero(seed, sizeof(seed));
	return code;
}

int release_sign_all(const struct release_options *o, char **envelope)
{
	uint8_t seed[LODE_TRUST_KEY_BYTES];
	struct lode_err err;
	int code = EXIT_OK;
	for (unsigned i = 0; i < o->n_keys && !code; i++) {
		code = read_seed(o->keys[i], seed);
		if (!code && lode_trust_sign(envelope, seed, &err))
			code = complain(EXIT_CONFIG, "%s", err.msg);
	}
	explicit_bzero(seed, sizeof(seed));
	return code;
}

/* ---- further signatures ---- */

/* Of a chain the release is meant. */
static int cosign_chain(const struct release_options *o, json_t *chain, char **text)
{
	char *release = json_dumps(json_object_get(chain, "release"), JSON_COMPACT);
	int code = release ? release_sign_all(o, &release)
			   : complain(EXIT_CONFIG, "the chain has no release");
	if (!code) {
		json_object_set_new(chain, "release", json_loads(release, 0, NULL));
		free(*text);
		*text = json_dumps(chain, JSON_COMPACT);
	}
	free(release);
	return code;
}

static int cosign(struct lodectl *ctl, int argc, char **argv)
{
	static const char usage[] = "cosign FILE --key KEY...";
	struct release_options o;
	int code = release_options_read(&o, "key", usage, argc, argv);
	if (code)
		return code;
	if (o.n_rest != 1 || !o.n_keys)
		return complain(EXIT_OTHER, "usage: lodectl release %s", usage);
	char *text = release_read(o.rest[0]);
	if (!text)
		return EXIT_ENVIRONMENT;
	json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	code = json_object_get(doc, "release") ? cosign_chain(&o, doc, &text)
					       : release_sign_all(&o, &text);
	if (!code)
		code = release_write(o.rest[0], text, strlen(text));
	json_decref(doc);
	free(text);
	return code;
}

const struct command release_commands[] = {
	{"release", "keygen", "FILE", "make a signing key, print its public key", keygen},
	{"release", "public", "FILE", "print the public key of a signing key", public_of},
	{"release", "root", "OUT [OPTIONS]", "say which keys may sign", release_root},
	{"release", "sign", "MODEL OUT [OPTIONS]", "sign a model file as a release", release_sign},
	{"release", "delegate", "MODEL OUT [OPTIONS]", "let a key sign models like this one",
		release_delegate},
	{"release", "cosign", "FILE --key KEY...", "add signatures", cosign},
	{"release", "show", "FILE", "what a root, delegation or release says", release_show},
	{"release", "verify", "ROOT RELEASE [MODEL]", "judge as an appliance would",
		release_verify},
	{"release", "upload", "RELEASE...", "give releases to the manager", release_upload},
	{"release", "bundle", "OUT RELEASE MODEL...", "releases and files in one file",
		release_bundle},
	{"release", "unbundle", "BUNDLE FOLDER", "take them apart again", release_unbundle},
	COMMANDS_END,
};
