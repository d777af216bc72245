/* SPDX-License-Identifier: BSD-3-Clause */
/* Models to the gateway: sealed memory over its control socket (docs/control-socket.md). It judges for itself. */
#include "agent.h"

#include "lode_ipc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIMEOUT_MS 30000

bool gateway_there(const struct lode_agent *a)
{
	struct lode_err ignored;
	int sock = a->options.gateway ? lode_ipc_connect(a->options.gateway, &ignored) : -1;
	if (sock >= 0)
		close(sock);
	return sock >= 0 || !a->options.gateway;
}

/* 0 when the reply has no error in it. */
static int read_reply(const char *text, size_t len, struct lode_err *err)
{
	json_t *reply = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *error = json_string_value(json_object_get(reply, "error"));
	bool ok = json_is_object(json_object_get(reply, "result"));
	int rc = 0;
	if (error)
		rc = lode_err_set(err, -EBADMSG, "the gateway refuses: %.400s", error);
	else if (!ok)
		rc = lode_err_set(err, -EBADMSG, "the gateway's answer is none");
	json_decref(reply);
	return rc;
}

/* Takes the request. */
static int ask(const struct lode_agent *a, json_t *request, int fd, struct lode_err *err)
{
	char *reply = NULL, *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_decref(request);
	if (!text)
		return lode_err_set(err, -ENOMEM, "no memory for a request");
	int sock = lode_ipc_connect(a->options.gateway, err);
	long len = sock < 0 ? sock
			    : lode_ipc_call(sock, text, strlen(text), fd, TIMEOUT_MS, &reply, err);
	int rc = len < 0 ? (int)len : read_reply(reply, (size_t)len, err);
	if (sock >= 0)
		close(sock);
	free(reply);
	free(text);
	return rc;
}

/* The file as sealed memory; a descriptor, or -errno. */
static int seal_file(const char *path, struct lode_err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && !fstat(fd, &st) && st.st_size > 0;
	void *bytes =
		ok ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	int sealed = bytes != MAP_FAILED
			     ? lode_ipc_memfd_new("model", bytes, (size_t)st.st_size, err)
			     : lode_err_set(err, -EIO, "%s: %s", path, strerror(errno));
	if (bytes != MAP_FAILED)
		munmap(bytes, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
	return sealed;
}

int gateway_try(const struct lode_agent *a, const struct running *want, const char *path,
	struct lode_err *err)
{
	char chain[PATH_MAX];
	json_error_t where;
	if (!a->options.gateway)
		return 0;
	path_of(a, "staging", want->sha256, ".release", chain);
	json_t *release = json_load_file(chain, JSON_REJECT_DUPLICATES, &where);
	if (!release)
		return lode_err_set(err, -EIO, "%s: %s", chain, where.text);
	int fd = seal_file(path, err);
	int rc = fd < 0 ? fd
			: ask(a, json_pack("{s:s,s:O}", "command", "model/try", "release", release),
				  fd, err);
	if (fd >= 0)
		close(fd);
	json_decref(release);
	return rc;
}

int gateway_commit(const struct lode_agent *a, struct lode_err *err)
{
	return a->options.gateway ? ask(a, json_pack("{s:s}", "command", "model/commit"), -1, err)
				  : 0;
}

int gateway_renew(const struct lode_agent *a, const char *chain, struct lode_err *err)
{
	json_t *release = a->options.gateway ? json_loads(chain, 0, NULL) : NULL;
	return release ? ask(a,
				 json_pack(
					 "{s:s,s:o}", "command", "model/renew", "release", release),
				 -1, err)
		       : 0;
}

/* When it does not hear, it goes back by itself after a while. */
void gateway_rollback(const struct lode_agent *a)
{
	struct lode_err err;
	if (a->options.gateway && ask(a, json_pack("{s:s}", "command", "model/rollback"), -1, &err))
		say(a, "taking back: %s", err.msg);
}
