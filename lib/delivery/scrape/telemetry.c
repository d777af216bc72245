/* SPDX-License-Identifier: BSD-3-Clause */
/* dpdk-telemetry's protocol (version 2): a SOCK_SEQPACKET socket, a greeting, then one packet with a command and one
 * with its answer, {"/command": value}. An unknown command is answered by null. */
#include "scrape.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_MAX (64 * 1024) /* DPDK 22.11 cuts at 16 KiB */
#define ROOT	  "/lodestone/"

void telemetry_close(struct telemetry *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

/* One packet as JSON object, or NULL. */
static json_t *receive(struct telemetry *t, struct lode_err *err)
{
	char text[REPLY_MAX];
	json_error_t where;
	ssize_t n = recv(t->fd, text, sizeof(text), MSG_TRUNC);
	if (n <= 0) {
		lode_err_set(err, n ? -errno : -ECONNRESET, "the gateway does not answer: %s",
			n ? strerror(errno) : "it closed the connection");
		return NULL;
	}
	json_t *v = (size_t)n <= sizeof(text) ? json_loadb(text, (size_t)n, 0, &where) : NULL;
	if (!json_is_object(v)) {
		json_decref(v);
		lode_err_set(err, -EBADMSG,
			"the gateway's answer of %zd bytes is no JSON object of up to %zu", n,
			sizeof(text));
		return NULL;
	}
	return v;
}

static int set_up(struct telemetry *t, const char *path, struct lode_err *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const struct timeval timeout = {.tv_sec = LODE_SCRAPE_TIMEOUT_MS / 1000,
		.tv_usec = LODE_SCRAPE_TIMEOUT_MS % 1000 * 1000};
	if (strlen(path) >= sizeof(addr.sun_path))
		return lode_err_set(err, -ENAMETOOLONG, "%s: a socket's path has up to %zu bytes",
			path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
		setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) ||
		connect(t->fd, (struct sockaddr *)&addr, sizeof(addr)))
		return lode_err_set(err, -errno, "no gateway at %s: %s", path, strerror(errno));
	json_t *greeting = receive(t, err);
	json_decref(greeting);
	return greeting ? 0 : err->code;
}

int telemetry_connect(struct telemetry *t, const char *path, struct lode_err *err)
{
	t->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (t->fd < 0)
		return lode_err_set(err, -errno, "no socket: %s", strerror(errno));
	int rc = set_up(t, path, err);
	if (rc)
		telemetry_close(t);
	return rc;
}

json_t *telemetry_ask(
	struct telemetry *t, const char *view, const char *param, struct lode_err *err)
{
	char command[256];
	int n = snprintf(command, sizeof(command), ROOT "%s%s%s", view, *param ? "," : "", param);
	if (n >= (int)sizeof(command)) {
		lode_err_set(err, -EINVAL, "a question of %d bytes is too long", n);
		return NULL;
	}
	if (send(t->fd, command, (size_t)n, MSG_NOSIGNAL) != n) {
		lode_err_set(err, -errno, "the gateway does not listen: %s", strerror(errno));
		return NULL;
	}
	json_t *reply = receive(t, err);
	if (!reply)
		return NULL;
	/* The key is the command as asked, without its parameter. */
	command[strlen(ROOT) + strlen(view)] = 0;
	json_t *value = json_incref(json_object_get(reply, command));
	json_decref(reply);
	if (!json_is_object(value)) {
		json_decref(value);
		lode_err_set(err, -ENOENT, "the gateway has no view %s", view);
		return NULL;
	}
	return value;
}
