/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl release upload: a signed release to the manager, which carries it. */
#include "manager.h"
#include "release.h"

#include <stdlib.h>

static int upload_one(struct lodectl *ctl, const char *file)
{
	struct lode_trust_release r;
	struct lode_err err;
	char path[MANAGER_PATH_MAX], until[32], *text = release_read(file);
	if (!text)
		return EXIT_ENVIRONMENT;
	int rc = lode_trust_release_read(text, strlen(text), &r, &err);
	json_t *chain = rc ? NULL : json_loads(text, 0, NULL);
	free(text);
	if (rc)
		return complain(EXIT_CONFIG, "%s: %s", file, err.msg);
	release_date(r.expires_s, until);
	snprintf(path, sizeof(path), "/models/%s/versions/%s/release", r.model, r.version);
	return manager_do(ctl, "POST", path, chain, "%s %s: release %llu, valid until %s", r.model,
		r.version, (unsigned long long)r.counter, until);
}

int release_upload(struct lodectl *ctl, int argc, char **argv)
{
	int code =
		argc ? EXIT_OK : complain(EXIT_OTHER, "usage: lodectl release upload RELEASE...");
	for (int i = 0; i < argc && !code; i++)
		code = upload_one(ctl, argv[i]);
	return code;
}
