/* SPDX-License-Identifier: BSD-3-Clause */
/* The helper thread: signals, the control socket (docs/control-socket.md), and configurations read and
 * prepared away from the lcores. */
#include "gateway.h"

#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define WAIT_MS 100

struct request {
	struct gateway *g;
	const char *command, *params; /* params: "" if none */
	int fd;			      /* that came with it, -1: none */
	const struct lode_ipc_creds *creds;
	const json_t *body;
};

/* ---- commands that change something ---- */

static int apply(
	struct gateway *g, const char *path, char *changes, size_t size, struct lode_err *err)
{
	struct lode_config *config;
	struct lode_prepared *prepared;
	struct stat st;
	if (!stat(path, &st) && !S_ISREG(st.st_mode)) /* a pipe would hold this thread up */
		return lode_err_set(err, -EINVAL, "%s: want a regular file", path);
	int rc = lode_config_load(path, &config, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&g->lock);
	lode_config_keep_places(lode_control_config(g->control), config);
	lode_config_diff(lode_control_config(g->control), config, changes, size);
	pthread_mutex_unlock(&g->lock);
	rc = lode_control_prepare(config, &prepared, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&g->lock);
	rc = lode_control_apply(g->control, prepared, now_ns(), err);
	if (!rc)
		publish_settings(g, lode_control_config(g->control));
	pthread_mutex_unlock(&g->lock);
	return rc;
}

static int config_apply(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	char *changes = calloc(1, VIEW_BYTES / 2);
	if (!changes)
		return lode_err_set(err, -ENOMEM, "no memory");
	const char *path = q->params[0] ? q->params : q->g->options.config_path;
	int rc = apply(q->g, path, changes, VIEW_BYTES / 2, err);
	log_line(&q->g->log, LOG_GATEWAY, rc ? LODE_LOG_WARN : LODE_LOG_INFO,
		"configuration %s %s%s", path, rc ? "refused: " : "applied", rc ? err->msg : "");
	if (!rc)
		lode_json_string(j, "changes", changes);
	free(changes);
	return rc;
}

static int config_show(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	char *yaml = malloc(VIEW_BYTES / 2);
	if (!yaml)
		return lode_err_set(err, -ENOMEM, "no memory");
	pthread_mutex_lock(&q->g->lock);
	long len = lode_config_print(lode_control_config(q->g->control), yaml, VIEW_BYTES / 2);
	pthread_mutex_unlock(&q->g->lock);
	if (len >= 0)
		lode_json_string(j, "yaml", yaml);
	free(yaml);
	return len < 0 ? lode_err_set(err, (int)len, "the configuration is too long to show") : 0;
}

static int log_level(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	if (log_set_by_text(&q->g->log, q->params))
		return lode_err_set(err, -EINVAL,
			"log level \"%.60s\": want [MODULE] error|warn|info|debug|default; "
			"modules: "
			"gateway control port kernel dpdk",
			q->params);
	log_show(&q->g->log, j);
	return 0;
}

static int do_trace_start(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	return trace_start(q->g, q->params, j, err);
}

static int do_trace_read(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	return trace_read(q->g, q->params, j, err);
}

static int do_trace_stop(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	return trace_stop(q->g, q->params, j, err);
}

static int do_loss_record(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	return loss_record(q->g, q->params, j, err);
}

static int classify_attach(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	return apps_attach(q->g, q->fd, err);
}

/* Whoever may write into the state directory may say what runs. The socket's mode says the same. */
static int check_owner(const struct request *q, struct lode_err *err)
{
	uid_t uid = q->creds->uid;
	return uid == 0 || uid == geteuid()
		       ? 0
		       : lode_err_set(err, -EPERM,
				 "models are taken from root and user %u, not from user %u",
				 (unsigned)geteuid(), (unsigned)uid);
}

/* The signed chain that came with it; free() it. */
static char *release_of(const struct request *q, struct lode_err *err)
{
	char *chain = json_dumps(json_object_get(q->body, "release"), JSON_COMPACT);
	if (!chain)
		lode_err_set(err, -EINVAL, "\"release\" is missing: the signed chain");
	return chain;
}

static int do_model_try(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	int rc = check_owner(q, err);
	char *chain = rc ? NULL : release_of(q, err);
	if (!rc)
		rc = chain ? model_try(q->g, chain, q->fd, j, err) : err->code;
	free(chain);
	return rc;
}

static int do_model_commit(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	int rc = check_owner(q, err);
	return rc ? rc : model_commit(q->g, j, err);
}

static int do_model_rollback(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	int rc = check_owner(q, err);
	return rc ? rc : model_rollback(q->g, j, err);
}

static int do_model_renew(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	int rc = check_owner(q, err);
	char *chain = rc ? NULL : release_of(q, err);
	if (!rc)
		rc = chain ? model_renew(q->g, chain, j, err) : err->code;
	free(chain);
	return rc;
}

static const struct {
	const char *name;
	int (*run)(const struct request *q, struct lode_json *j, struct lode_err *err);
} commands[] = {
	{"classify/attach", classify_attach},
	{"config/apply", config_apply},
	{"config/show", config_show},
	{"log/level", log_level},
	{"loss/record", do_loss_record},
	{"model/commit", do_model_commit},
	{"model/renew", do_model_renew},
	{"model/rollback", do_model_rollback},
	{"model/try", do_model_try},
	{"trace/start", do_trace_start},
	{"trace/read", do_trace_read},
	{"trace/stop", do_trace_stop},
};

/* ---- the control socket ---- */

static int run_command(const struct request *q, struct lode_json *j, struct lode_err *err)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, q->command))
			continue;
		lode_json_object(j, "result");
		int rc = commands[i].run(q, j, err);
		lode_json_close_object(j);
		return rc;
	}
	const struct view *v = view_by_name(q->command);
	if (!v)
		return lode_err_set(err, -ENOENT, "no command \"%.60s\"", q->command);
	char *text = malloc(VIEW_BYTES);
	long len = text ? view_write(q->g, v, q->params, text, VIEW_BYTES, err)
			: lode_err_set(err, -ENOMEM, "no memory");
	if (len >= 0)
		lode_json_raw(j, "result", text);
	free(text);
	return (int)LODE_MIN(len, 0);
}

static void write_error(struct lode_json *j, char *buf, size_t size, const struct lode_err *err)
{
	lode_json_begin(j, buf, size);
	lode_json_object(j, NULL);
	lode_json_string(j, "error", err->msg);
	lode_json_u64(j, "code",
		err->code == -EINVAL || err->code == -EBUSY ? LODE_EXIT_CONFIG : LODE_EXIT_OTHER);
	lode_json_close_object(j);
}

long answer_request(struct gateway *g, const struct lode_ipc_creds *creds, const char *body,
	size_t len, int fd, char *buf, size_t size)
{
	struct lode_err err = {0};
	struct lode_json j;
	json_error_t why;
	json_t *q = json_loadb(body, len, JSON_REJECT_DUPLICATES, &why);
	const char *command = json_string_value(json_object_get(q, "command"));
	const char *params = json_string_value(json_object_get(q, "params"));
	const struct request request = {g, command, params ? params : "", fd, creds, q};
	lode_json_begin(&j, buf, size);
	lode_json_object(&j, NULL);
	int rc = command ? run_command(&request, &j, &err)
			 : lode_err_set(&err, -EINVAL,
				   "want {\"command\": ..., \"params\": ...}: %s",
				   q ? "command is missing" : why.text);
	lode_json_close_object(&j);
	if (!rc && lode_json_end(&j) < 0)
		rc = lode_err_set(&err, -EMSGSIZE, "the answer is too long: give a parameter");
	if (rc)
		write_error(&j, buf, size, &err);
	json_decref(q);
	return lode_json_end(&j);
}

static void on_request(void *ctx, struct lode_ipc_client *client,
	const struct lode_ipc_creds *creds, const char *body, size_t len, int fd)
{
	char *buf = malloc(2 * VIEW_BYTES);
	long n = buf ? answer_request(ctx, creds, body, len, fd, buf, 2 * VIEW_BYTES) : -1;
	if (n >= 0)
		lode_ipc_reply(client, buf, (size_t)n);
	else
		lode_ipc_reply(client, "{\"error\":\"no memory\",\"code\":1}", 31);
	free(buf);
}

/* ---- signals ---- */

static void on_signal(struct gateway *g)
{
	struct signalfd_siginfo info;
	if (read(g->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGHUP) {
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO, "%s: ending",
			strsignal((int)info.ssi_signo));
		sd_notify(0, "STOPPING=1");
		atomic_store(&g->stop, true);
		return;
	}
	struct lode_err err = {0};
	char buf[64];
	struct lode_json j;
	const struct request q = {.g = g, .params = "", .fd = -1};
	sd_notify(0, "RELOADING=1");
	lode_json_begin(&j, buf, sizeof(buf));
	config_apply(&q, &j, &err);
	sd_notify(0, "READY=1");
}

static void *helper_main(void *arg)
{
	struct gateway *g = arg;
	struct pollfd fds[] = {
		{g->signal_fd, POLLIN, 0}, {lode_ipc_server_fd(g->server), POLLIN, 0}};
	while (!atomic_load(&g->stop)) {
		dhcp_run(g);
		trace_run(g, now_ns());
		loss_run(g);
		apps_run(g, now_ns());
		trial_run(g, now_ns());
		models_run(g);
		log_flush(&g->log);
		selector_state_run(g, now_ns(), false);
		if (poll(fds, LODE_ARRAY_LEN(fds), WAIT_MS) <= 0)
			continue;
		if (fds[0].revents)
			on_signal(g);
		if (fds[1].revents)
			lode_ipc_server_run(g->server, 0);
	}
	dhcp_stop(g);
	selector_state_run(g, now_ns(), true);
	return NULL;
}

static int make_socket_dir(const char *path, struct lode_err *err)
{
	char dir[LODE_PATH_MAX];
	snprintf(dir, sizeof(dir), "%s", path);
	char *slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	return access(dir, W_OK) ? state_make_dir(dir, err) : 0;
}

int start_helper(struct gateway *g, struct lode_err *err)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	g->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (g->signal_fd < 0)
		return lode_err_set(err, -errno, "signalfd: %s", strerror(errno));
	int rc = make_socket_dir(g->config->control_socket, err);
	if (!rc)
		rc = lode_ipc_server_new(
			g->config->control_socket, 0600, on_request, g, &g->server, err);
	if (rc) {
		close(g->signal_fd);
		return rc;
	}
	rc = pthread_create(&g->helper_thread, NULL, helper_main, g);
	if (rc) {
		lode_ipc_server_free(g->server);
		close(g->signal_fd);
		return lode_err_set(err, -rc, "helper thread: %s", strerror(rc));
	}
	pthread_setname_np(g->helper_thread, "lode-helper");
	return 0;
}

void stop_helper(struct gateway *g)
{
	atomic_store(&g->stop, true);
	pthread_join(g->helper_thread, NULL);
	lode_ipc_server_free(g->server);
	close(g->signal_fd);
}
