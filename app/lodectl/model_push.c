/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl model push: a model and its signed release to the gateway, as sealed memory. */
#include "model.h"
#include "release.h"

#include "lode_ipc.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int print_state(struct lodectl *ctl, json_t *result)
{
	if (!result)
		return EXIT_OTHER;
	if (ctl->json)
		print_json(result);
	else
		printf("%s %s: %s as %s\n", json_string_value(json_object_get(result, "model")),
			json_string_value(json_object_get(result, "version")),
			json_string_value(json_object_get(result, "state")),
			json_string_value(json_object_get(result, "role")));
	json_decref(result);
	return EXIT_OK;
}

/* The gateway's answer, or NULL after having complained. */
static json_t *try_model(struct lodectl *ctl, const char *path, json_t *release)
{
	struct lode_err err;
	size_t len;
	const void *bytes = release_map(path, &len);
	if (!bytes)
		return NULL;
	int fd = lode_ipc_memfd_new("model", bytes, len, &err);
	munmap((void *)(uintptr_t)bytes, len);
	if (fd < 0) {
		complain(EXIT_ENVIRONMENT, "%s", err.msg);
		return NULL;
	}
	json_t *result = ask_gateway_fd(
		ctl, json_pack("{s:s,s:O}", "command", "model/try", "release", release), fd);
	close(fd);
	return result;
}

int model_push(struct lodectl *ctl, int argc, char **argv)
{
	bool only_try = argc == 3 && !strcmp(argv[2], "try");
	if (argc != 2 && !only_try)
		return complain(EXIT_OTHER, "usage: lodectl model push FILE RELEASE [try]");
	char *text = release_read(argv[1]);
	if (!text)
		return EXIT_ENVIRONMENT;
	json_error_t where;
	json_t *release = json_loads(text, JSON_REJECT_DUPLICATES, &where);
	free(text);
	if (!release)
		return complain(EXIT_CONFIG, "%s: %s", argv[1], where.text);
	json_t *result = try_model(ctl, argv[0], release);
	json_decref(release);
	if (result && !only_try) {
		json_decref(result);
		result = ask_gateway(ctl, "model/commit", NULL);
	}
	return print_state(ctl, result);
}

int model_commit(struct lodectl *ctl, int argc, char **argv)
{
	if (argc)
		return complain(EXIT_OTHER, "usage: lodectl model commit");
	return print_state(ctl, ask_gateway(ctl, "model/commit", NULL));
}

int model_rollback(struct lodectl *ctl, int argc, char **argv)
{
	if (argc)
		return complain(EXIT_OTHER, "usage: lodectl model rollback");
	return print_state(ctl, ask_gateway(ctl, "model/rollback", NULL));
}
