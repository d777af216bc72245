/* SPDX-License-Identifier: BSD-3-Clause */
/* What the verbs of `lodectl release` share: files, keys and options. But for upload they ask no
 * gateway and no manager: keys stay on a machine without a network. */
#pragma once

#include "lodectl.h"

#include "lode_trust.h"

#include <getopt.h>

#define KEYS_MAX  LODE_TRUST_KEYS_MAX
#define ROOTS_MAX LODE_TRUST_ROOTS_MAX

/* Options of all verbs; each verb takes those it names. */
struct release_options {
	const char *model, *version, *delegation, *from, *to;
	const char *keys[KEYS_MAX], *roots[ROOTS_MAX]; /* files */
	unsigned n_keys, n_roots;
	struct lode_trust_role root, release; /* of a new root; n_keys 0: not said */
	uint64_t counter, floor, first, last, number;
	bool floor_given, new_epoch;
	unsigned days;
	char **rest; /* other arguments */
	int n_rest;
};
/* allowed: names of long options with a value, e.g. "model key days". An exit code after having complained. */
int release_options_read(
	struct release_options *o, const char *allowed, const char *usage, int argc, char **argv);

/* Text of a file; free() it. NULL after having complained. */
char *release_read(const char *path);
/* Whole or not at all. An exit code after having complained. */
int release_write(const char *path, const void *bytes, size_t len);
/* A file mapped for reading; NULL after having complained. munmap it. */
const void *release_map(const char *path, size_t *len);
/* Signs with all keys of the options; *envelope is replaced. */
int release_sign_all(const struct release_options *o, char **envelope);
/* The root of the file; an exit code after having complained. */
int release_read_root(const char *path, struct lode_trust_root *root);
/* "HEX,HEX,..." to the keys of a role. */
int release_read_keys(struct lode_trust_role *role, const char *text);
void release_date(int64_t time_s, char text[32]);

/* What a release says, for printing. */
json_t *release_describe(const struct lode_trust_release *r);

int release_show(struct lodectl *ctl, int argc, char **argv);
int release_root(struct lodectl *ctl, int argc, char **argv);
int release_sign(struct lodectl *ctl, int argc, char **argv);
int release_delegate(struct lodectl *ctl, int argc, char **argv);
int release_verify(struct lodectl *ctl, int argc, char **argv);
int release_bundle(struct lodectl *ctl, int argc, char **argv);
int release_upload(struct lodectl *ctl, int argc, char **argv);
int release_unbundle(struct lodectl *ctl, int argc, char **argv);
