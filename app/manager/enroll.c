/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-manager enroll: makes this appliance known to a manager. */
#include "identity.h"
#include "manager.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#define TOKEN_MAX 200

int enroll_usage(FILE *to)
{
	fputs("usage: lodestone-manager enroll --control-plane URL --device-id ID --token-file "
	      "FILE|- [--dir DIR]\n"
	      "  --token-file FILE     the one-time token of `lodectl device enrol`; -: standard "
	      "input\n"
	      "  --dir DIR             for identity.pem and ca.pem; default " DEFAULT_IDENTITY_DIR
	      "\n",
		to);
	return to == stdout ? EXIT_OK : EXIT_CONFIGURATION;
}

static int read_line(const char *path, char line[TOKEN_MAX], struct lode_err *err)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	if (!f || !fgets(line, TOKEN_MAX, f))
		lode_err_set(err, -EINVAL, "%s: no token can be read", path);
	else
		line[strcspn(line, "\r\n")] = 0;
	bool ok = f && *line;
	if (f && f != stdin)
		fclose(f);
	return ok ? 0 : -EINVAL;
}

int cmd_enroll(int argc, char **argv)
{
	static const struct option longs[] = {{"control-plane", required_argument, NULL, 'u'},
		{"device-id", required_argument, NULL, 'i'},
		{"token-file", required_argument, NULL, 't'}, {"dir", required_argument, NULL, 'd'},
		{0}};
	const char *url = NULL, *id = NULL, *file = NULL, *dir = DEFAULT_IDENTITY_DIR;
	char token[TOKEN_MAX] = "";
	struct lode_err err = {0};
	int opt;
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		url = opt == 'u' ? optarg : url;
		id = opt == 'i' ? optarg : id;
		file = opt == 't' ? optarg : file;
		dir = opt == 'd' ? optarg : dir;
		if (opt == '?')
			return enroll_usage(stderr);
	}
	if (!url || !id || !file || optind != argc)
		return enroll_usage(stderr);
	int rc = read_line(file, token, &err);
	if (!rc)
		rc = identity_enroll(url, id, token, dir, &err);
	explicit_bzero(token, sizeof(token));
	if (!rc) {
		printf("%s: this appliance is %s to %s\n", dir, id, url);
		return EXIT_OK;
	}
	fprintf(stderr, "lodestone-manager: %s\n", err.msg);
	return rc == -EINVAL ? EXIT_CONFIGURATION : EXIT_OTHER;
}
