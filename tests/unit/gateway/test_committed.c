/* SPDX-License-Identifier: BSD-3-Clause */
/* Committed models at the next start: they are judged by what is true then. */
#include <criterion/criterion.h>

#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DAY_S	    86400
#define MODEL_BYTES (1u << 20)

static struct {
	char dir[64], root_path[100];
	struct gateway *g;
	char *root; /* envelope */
	uint8_t *model;
	size_t model_len;
	struct lode_err err;
} the;

static void key_of(int n, uint8_t seed[LODE_TRUST_KEY_BYTES], uint8_t key[LODE_TRUST_KEY_BYTES])
{
	memset(seed, n, LODE_TRUST_KEY_BYTES);
	cr_assert_eq(lode_trust_public(seed, key), 0);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "we");
	cr_assert(f && fwrite(bytes, 1, len, f) == len && !fclose(f));
}

/* Version n, whose releases that key signs; signed by the one key of all roots. */
static char *make_root(uint64_t version, int release_key)
{
	uint8_t seed[LODE_TRUST_KEY_BYTES], ignored[LODE_TRUST_KEY_BYTES];
	struct lode_trust_root r = {.version = version,
		.issued_s = time(NULL) - DAY_S,
		.expires_s = time(NULL) + DAY_S,
		.root = {.threshold = 1, .n_keys = 1},
		.release = {.threshold = 1, .n_keys = 1}};
	char *text;
	key_of(release_key, ignored, r.release.keys[0]);
	key_of(1, seed, r.root.keys[0]);
	cr_assert_eq(lode_trust_root_make(&r, &text, &the.err), 0, "%s", the.err.msg);
	cr_assert_eq(lode_trust_sign(&text, seed, &the.err), 0);
	return text;
}

/* newer_root: one more that comes with it, or NULL. */
static char *make_chain(uint64_t counter, int key, int64_t expires_s, const char *newer_root)
{
	uint8_t seed[LODE_TRUST_KEY_BYTES], ignored[LODE_TRUST_KEY_BYTES];
	struct lode_trust_release r = {.model = "loss",
		.counter = counter,
		.floor = counter,
		.n_bytes = the.model_len,
		.issued_s = time(NULL) - DAY_S,
		.expires_s = expires_s};
	char *release, *chain;
	snprintf(r.version, sizeof(r.version), "v%u", (unsigned)counter);
	lode_trust_sha256(the.model, the.model_len, r.sha256);
	lode_trust_kind_of(the.model, the.model_len, &r.kind);
	cr_assert_eq(lode_trust_release_make(&r, &release, &the.err), 0, "%s", the.err.msg);
	key_of(key, seed, ignored);
	cr_assert_eq(lode_trust_sign(&release, seed, &the.err), 0);
	const char *roots[] = {the.root, newer_root};
	cr_assert_eq(
		lode_trust_chain_make(roots, newer_root ? 2 : 1, NULL, release, &chain, &the.err),
		0);
	free(release);
	return chain;
}

static void up(void)
{
	char path[300];
	strcpy(the.dir, "/tmp/lode-committed-XXXXXX");
	cr_assert(mkdtemp(the.dir));
	snprintf(path, sizeof(path), "%s/models/loss-mlp.safetensors", getenv("LODE_SOURCE_ROOT"));
	FILE *f = fopen(path, "re");
	the.model = malloc(MODEL_BYTES);
	cr_assert(f && the.model);
	the.model_len = fread(the.model, 1, MODEL_BYTES, f);
	fclose(f);
	the.g = calloc(1, sizeof(*the.g));
	the.g->config = calloc(1, sizeof(*the.g->config));
	log_init(&the.g->log);
	pthread_mutex_init(&the.g->lock, NULL);
	snprintf(the.root_path, sizeof(the.root_path), "%s/root.json", the.dir);
	snprintf(the.g->config->state_dir, sizeof(the.g->config->state_dir), "%s", the.dir);
	snprintf(the.g->config->model_root, sizeof(the.g->config->model_root), "%s", the.root_path);
	the.root = make_root(1, 2);
	write_file(the.root_path, the.root, strlen(the.root));
}

static void down(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s", the.dir);
	cr_assert_eq(system(command), 0);
	free(the.g->config);
	free(the.g);
	free(the.root);
	free(the.model);
}

static void commit(char *chain)
{
	cr_assert_eq(committed_keep(the.g, LODE_MODEL_LOSS, chain, the.model, the.model_len), 0);
	free(chain);
}

/* The version that runs after a start, "" for none; why in the.err. */
static const char *after_start(int *rc)
{
	static char version[LODE_TRUST_NAME_MAX];
	struct served *s = NULL;
	the.err = (struct lode_err){0};
	*rc = committed_load(the.g, LODE_MODEL_LOSS, &s, &the.err);
	snprintf(version, sizeof(version), "%s", s ? s->version : "");
	served_free(s);
	return version;
}

Test(committed, it_runs_again_unless_something_speaks_against_it, .init = up, .fini = down)
{
	int rc;
	char bundle[128];
	cr_assert_str_eq(after_start(&rc), "");
	cr_assert_eq(rc, -ENOENT, "nothing was committed");
	commit(make_chain(2, 2, time(NULL) + DAY_S, NULL));
	cr_assert_str_eq(after_start(&rc), "v2", "%s", the.err.msg);

	commit(make_chain(2, 2, time(NULL) - 2, NULL));
	cr_assert_str_eq(after_start(&rc), "");
	cr_assert_eq(rc, -ETIME, "%s", the.err.msg);
	commit(make_chain(2, 3, time(NULL) + DAY_S, NULL));
	cr_assert_str_eq(after_start(&rc), "");
	cr_assert_eq(rc, -EKEYREJECTED, "%s", the.err.msg);

	commit(make_chain(2, 2, time(NULL) + DAY_S, NULL));
	snprintf(bundle, sizeof(bundle), "%s/models/loss.bundle", the.dir);
	FILE *f = fopen(bundle, "r+e");
	cr_assert(f && !fseek(f, -100, SEEK_END) && fputc('x', f) == 'x' && !fclose(f));
	cr_assert_str_eq(after_start(&rc), "");
	cr_assert_eq(rc, -EBADMSG, "%s", the.err.msg);
	cr_assert_eq(truncate(bundle, 1000), 0);
	after_start(&rc);
	cr_assert_eq(rc, -EBADMSG, "%s", the.err.msg);
}

Test(committed, what_was_learned_meanwhile_counts, .init = up, .fini = down)
{
	int rc;
	struct lode_trust_state next;
	struct lode_trust_release r;
	char *newer = make_root(2, 5), *chain = make_chain(3, 3, time(NULL) + DAY_S, newer);
	commit(make_chain(2, 2, time(NULL) + DAY_S, NULL));
	cr_assert_str_eq(after_start(&rc), "v2", "%s", the.err.msg);
	/* Refused itself, it brings a root that takes the key back. */
	cr_assert_neq(committed_judge(the.g, chain, &next, &r, &the.err), 0);
	lode_trust_state_clear(&next);
	cr_assert_str_eq(after_start(&rc), "");
	cr_assert_eq(rc, -EKEYREJECTED, "%s", the.err.msg);
	/* Signed again by the new key, it runs. */
	free(chain);
	chain = make_chain(2, 5, time(NULL) + DAY_S, newer);
	cr_assert_eq(committed_renew(the.g, chain, &r, &the.err), 0, "%s", the.err.msg);
	cr_assert_str_eq(after_start(&rc), "v2", "%s", the.err.msg);
	/* Another root by hand, and no root. */
	write_file(the.root_path, "{}", 2);
	cr_assert_str_eq(after_start(&rc), "");
	unlink(the.root_path);
	after_start(&rc);
	cr_assert_eq(rc, -EBADMSG, "it is the root that is missing: %s", the.err.msg);
	the.g->config->model_root[0] = 0;
	after_start(&rc);
	cr_assert_eq(rc, -EPERM, "%s", the.err.msg);
	free(chain);
	free(newer);
}

Test(committed, only_what_is_there_is_renewed, .init = up, .fini = down)
{
	struct lode_trust_release r;
	char *chain = make_chain(2, 2, time(NULL) + DAY_S, NULL);
	cr_assert_eq(committed_renew(the.g, chain, &r, &the.err), -ENOENT);
	free(chain);
}
