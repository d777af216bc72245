/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-manager serve: the API, with a thread for uploads, the campaigns' clock, a thread that makes patches, and
 * one that asks the gateway and counts the fleet for the page. */
#include "lode_clock.h"
#include "lode_face.h"
#include "lode_scrape.h"
#include "manager.h"
#include "seal_keys.h"

#include <getopt.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define TICK_MS	       1000
#define WAIT_MS	       200
#define COLLECT_MS     (3600 * 1000)
#define WORKER_IDLE_US 200000
#define FACE_STEP_US   100000
#define DEFAULT_PORT   8080

struct serve {
	struct settings settings;
	bool insecure;
	uint16_t port;
	char database[512], blobs[640], ca[512];
	struct seal_keys seal_keys;
	struct lode_api *api;
	struct lode_http *http;
	struct lode_api *worker_api; /* of the patch thread alone */
	struct lode_api *upload_api; /* of the server's thread for uploads */
	struct lode_face *face;
	pthread_t worker, face_thread;
	bool worker_runs, face_runs;
};

static void *make_patches(void *ctx)
{
	struct serve *s = ctx;
	while (!stopping)
		if (!lode_api_make_delta(s->worker_api, now_ms()) && !lode_api_rekey(s->worker_api))
			usleep(WORKER_IDLE_US);
	return NULL;
}

static void *refresh_face(void *ctx)
{
	struct serve *s = ctx;
	int64_t done_ms = 0;
	while (!stopping) {
		if (now_ms() - done_ms >= LODE_SCRAPE_INTERVAL_MS) {
			done_ms = now_ms();
			lode_face_refresh(s->face, done_ms);
		}
		usleep(FACE_STEP_US);
	}
	return NULL;
}

static int start_face(struct serve *s, struct lode_err *err)
{
	struct lode_face_options options = {
		.gateway_socket = *s->settings.gateway ? s->settings.gateway : NULL,
		.store_url = s->database,
		.anybody = s->insecure,
		.offline_s = s->settings.offline_s,
		.started_ms = now_ms(),
	};
	int rc = lode_face_new(&options, &s->face, err);
	if (rc)
		return rc;
	rc = pthread_create(&s->face_thread, NULL, refresh_face, s);
	if (rc)
		return lode_err_set(err, -rc, "the thread of the page does not start");
	s->face_runs = true;
	return 0;
}

static int start_worker(
	struct serve *s, const struct lode_api_options *options, struct lode_err *err)
{
	int rc = lode_api_new(options, s->database, s->blobs, &s->worker_api, err);
	if (rc)
		return rc;
	rc = pthread_create(&s->worker, NULL, make_patches, s);
	if (rc)
		return lode_err_set(err, -rc, "the patch thread does not start");
	s->worker_runs = true;
	return 0;
}

static int proxy_uid(const char *user, uid_t *uid, struct lode_err *err)
{
	*uid = (uid_t)-1;
	if (!*user)
		return 0;
	struct passwd *p = getpwnam(user);
	if (!p)
		return lode_err_set(err, -EINVAL, "proxy_user: there is no user %s", user);
	*uid = p->pw_uid;
	return 0;
}

static bool in_group(const struct passwd *user, const char *group)
{
	gid_t ids[256];
	int n = LODE_ARRAY_LEN(ids);
	const struct group *g = *group ? getgrnam(group) : NULL;
	if (!g || getgrouplist(user->pw_name, user->pw_gid, ids, &n) < 0)
		return false;
	for (int i = 0; i < n; i++)
		if (ids[i] == g->gr_gid)
			return true;
	return false;
}

/* What the groups of a local user allow; the most of them holds. */
static enum lode_api_role role_of_user(const void *ctx, uid_t uid)
{
	const struct settings *o = ctx;
	const struct passwd *user = getpwuid(uid);
	if (!user)
		return LODE_ROLE_NONE;
	return in_group(user, o->admin_group)	   ? LODE_ROLE_ADMIN
	       : in_group(user, o->operator_group) ? LODE_ROLE_OPERATOR
	       : in_group(user, o->viewer_group)   ? LODE_ROLE_VIEWER
						   : LODE_ROLE_NONE;
}

/* nginx reads this file; it is told by its own unit when it changes. */
static int make_server_file(struct serve *s, struct lode_err *err)
{
	bool renewed;
	if (!*s->settings.server_name)
		return 0;
	return lode_ca_server_file(
		lode_api_ca(s->api), s->ca, s->settings.server_name, now_ms(), &renewed, err);
}

static int start(struct serve *s, struct lode_err *err)
{
	struct settings *o = &s->settings;
	snprintf(s->ca, sizeof(s->ca), "%s/ca", o->state_dir);
	struct lode_api_options api = {
		.anybody = s->insecure,
		.offline_s = o->offline_s,
		.ca_dir = s->ca,
		.certificate_days = o->certificate_days,
		.keep_versions = o->keep_versions,
		.now_ms = now_ms(),
		.seal_keys = *o->seal_keys ? &s->seal_keys.ring : NULL,
	};
	struct lode_http_options http = {
		.socket_path = s->insecure ? NULL : o->socket,
		.port = s->port,
		.accel_prefix = "/blobs",
		.local_role = role_of_user,
		.local_role_ctx = o,
		.now_ms = now_ms,
		.now_ns = lode_clock_ns,
		.page = lode_face_page,
	};
	int rc = proxy_uid(o->proxy_user, &http.proxy_uid, err);
	if (!rc)
		rc = seal_keys_load(&s->seal_keys, o->seal_keys, err);
	if (!rc && mkdir(o->state_dir, 0750) && errno != EEXIST)
		rc = lode_err_set(err, -errno, "state_dir: %s: %s", o->state_dir, strerror(errno));
	snprintf(s->database, sizeof(s->database), "%s%s",
		*o->database ? o->database : o->state_dir, *o->database ? "" : "/manager.db");
	snprintf(s->blobs, sizeof(s->blobs), "%s%s", *o->blobs ? o->blobs : o->state_dir,
		*o->blobs ? "" : "/blobs");
	if (!rc)
		rc = lode_api_new(&api, s->database, s->blobs, &s->api, err);
	if (!rc)
		rc = make_server_file(s, err);
	if (!rc)
		rc = start_face(s, err);
	http.page_ctx = s->face;
	if (!rc)
		rc = lode_api_new(&api, s->database, s->blobs, &s->upload_api, err);
	http.upload_api = s->upload_api;
	if (!rc)
		rc = lode_http_new(&http, s->api, &s->http, err);
	return rc ? rc : start_worker(s, &api, err);
}

static void stop(struct serve *s)
{
	if (s->worker_runs)
		pthread_join(s->worker, NULL);
	if (s->face_runs)
		pthread_join(s->face_thread, NULL);
	lode_http_free(s->http);
	lode_face_free(s->face);
	lode_api_free(s->worker_api);
	lode_api_free(s->upload_api);
	lode_api_free(s->api);
}

static int loop(struct serve *s)
{
	int64_t tick_ms = 0, collect_ms = now_ms() + COLLECT_MS;
	struct lode_err ignored;
	int rc = 0;
	while (!stopping && !rc) {
		rc = lode_http_run(s->http, WAIT_MS);
		int64_t now = now_ms();
		if (now - tick_ms >= TICK_MS) {
			lode_api_tick(s->api, now);
			tick_ms = now;
			sd_notify(0, "WATCHDOG=1");
		}
		if (now >= collect_ms) {
			lode_api_collect(s->api, now);
			make_server_file(s, &ignored);
			collect_ms = now + COLLECT_MS;
		}
	}
	return rc;
}

int serve_usage(FILE *to)
{
	fputs("usage: lodestone-manager serve [-c FILE] [--data DIR] [--gateway SOCKET]\n"
	      "                                [--insecure-loopback [--port N]]\n"
	      "  -c, --config FILE     YAML: state_dir, database, blobs, seal_keys, socket, "
	      "proxy_user, "
	      "gateway,\n"
	      "                        offline_s\n"
	      "  --data DIR            state_dir, for trying out\n"
	      "  --gateway SOCKET      its dpdk_telemetry.v2, for page and metrics; '' for none\n"
	      "  --insecure-loopback   plain HTTP on 127.0.0.1, anybody may do anything\n"
	      "  --port N              with it; default 8080\n",
		to);
	return to == stdout ? EXIT_OK : EXIT_CONFIGURATION;
}

static int read_options(struct serve *s, int argc, char **argv, struct lode_err *err)
{
	static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
		{"data", required_argument, NULL, 'd'}, {"port", required_argument, NULL, 'p'},
		{"gateway", required_argument, NULL, 'g'},
		{"insecure-loopback", no_argument, NULL, 'i'}, {0}};
	const char *data = NULL;
	int opt, rc = 0;
	while (!rc && (opt = getopt_long(argc, argv, "c:", longs, NULL)) >= 0) {
		long port = opt == 'p' ? strtol(optarg, NULL, 10) : 1;
		if (opt == '?' || port < 1 || port > UINT16_MAX)
			return -EINVAL;
		if (opt == 'c')
			rc = settings_load(&s->settings, optarg, err);
		data = opt == 'd' ? optarg : data;
		if (opt == 'g')
			snprintf(s->settings.gateway, sizeof(s->settings.gateway), "%s", optarg);
		s->insecure |= opt == 'i';
		s->port = opt == 'p' ? (uint16_t)port : s->port;
	}
	if (!rc && data)
		snprintf(s->settings.state_dir, sizeof(s->settings.state_dir), "%s", data);
	/* The packaged unit says so: a service must not be open to everybody on the machine. */
	if (!rc && s->insecure && getenv("INVOCATION_ID"))
		rc = lode_err_set(
			err, -EPERM, "--insecure-loopback is for trying out, not for a service");
	return rc ? rc : optind < argc ? -EINVAL : 0;
}

int cmd_serve(int argc, char **argv)
{
	struct serve s = {.port = DEFAULT_PORT};
	struct lode_err err = {0};
	settings_default(&s.settings);
	int rc = read_options(&s, argc, argv, &err);
	if (rc && !*err.msg)
		return serve_usage(stderr);
	int code = rc ? EXIT_CONFIGURATION : EXIT_OK;
	if (!rc && (rc = start(&s, &err)))
		code = EXIT_ENVIRONMENT;
	if (!rc) {
		if (s.insecure)
			printf("INSECURE: http://127.0.0.1:%u, anybody on this machine may do "
			       "anything\n",
				s.port);
		else
			printf("listening on %s\n", s.settings.socket);
		fflush(stdout);
		sd_notify(0, "READY=1");
		rc = loop(&s);
		code = rc ? EXIT_OTHER : EXIT_OK;
	} else {
		fprintf(stderr, "lodestone-manager: %s\n", err.msg);
	}
	stopping = 1;
	sd_notify(0, "STOPPING=1");
	stop(&s);
	return code;
}
