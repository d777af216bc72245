/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket, from the client's side (docs/control-socket.md). */
#include "lodectl.h"

#include "lode_ipc.h"

#include <stdlib.h>
#include <unistd.h>

#define TIMEOUT_MS 20000

static json_t *parse_reply(const char *text, size_t len)
{
	json_error_t why;
	json_t *reply = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(reply)) {
		complain(EXIT_OTHER, "the gateway's answer is not JSON: %s", why.text);
		json_decref(reply);
		return NULL;
	}
	const char *error = json_string_value(json_object_get(reply, "error"));
	json_t *result = error ? NULL : json_incref(json_object_get(reply, "result"));
	if (error)
		complain(EXIT_OTHER, "%s", error);
	else if (!result)
		complain(EXIT_OTHER, "the gateway's answer has neither result nor error");
	json_decref(reply);
	return result;
}

json_t *ask_gateway_fd(struct lodectl *ctl, json_t *request, int fd)
{
	struct lode_err err;
	char *reply = NULL, *text = json_dumps(request, JSON_COMPACT);
	json_t *result = NULL;
	json_decref(request);
	int sock = lode_ipc_connect(ctl->socket, &err);
	long len = sock < 0 || !text
			   ? -1
			   : lode_ipc_call(sock, text, strlen(text), fd, TIMEOUT_MS, &reply, &err);
	if (len < 0)
		complain(EXIT_OTHER, "%s (is the gateway running? -s names its socket)", err.msg);
	else
		result = parse_reply(reply, (size_t)len);
	if (sock >= 0)
		close(sock);
	free(text);
	free(reply);
	return result;
}

json_t *ask_gateway(struct lodectl *ctl, const char *command, const char *params)
{
	json_t *request = json_object();
	json_object_set_new(request, "command", json_string(command));
	if (params)
		json_object_set_new(request, "params", json_string(params));
	return ask_gateway_fd(ctl, request, -1);
}
