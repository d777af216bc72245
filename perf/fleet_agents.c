/* SPDX-License-Identifier: BSD-3-Clause */
/* Ten thousand agents, each with a connection of its own per heartbeat as after a proxy's idle time-out: nothing
 * is saved by keeping connections. The database is SQLite. Once while nothing happens and once in
 * the middle of a campaign over all of them. */
#include "fleet.h"
#include "lode_store.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define AGENTS	    10000
#define INTERVAL_S  30
#define SECONDS	    60
#define OPEN_MAX    512 /* heartbeats on their way at once; more wait and count as late */
#define CPU_BAR	    0.25
#define TIMEOUT_NS  (10 * LODE_NS_PER_S)
#define MODEL_BYTES 200000

struct beat {
	int fd; /* -1: free */
	uint64_t start_ns;
	size_t got;
	char head[16]; /* of the answer: "HTTP/1.1 200" */
};

struct load {
	struct fleet_manager *m;
	int epoll;
	const char *version; /* that the agents run */
	unsigned n_open, n_sent, n_ok, n_missed;
	struct lode_hist answer_ns;
	struct beat beats[OPEN_MAX];
};

/* ---- set-up ---- */

static int expect(int status, int want, const char *what)
{
	if (status == want)
		return 0;
	fprintf(stderr, "%s: %d\n", what, status);
	return -1;
}

static int put(struct lode_store *s, enum lode_store_kind kind, const char *parent, const char *id,
	const char *text, struct lode_err *err)
{
	return lode_store_put(s, kind, parent, id, "", text, LODE_STORE_NEW, err);
}

/* What 20 000 requests would have written, in one transaction: setting up is not what is measured. */
static int register_all(const struct fleet_manager *m)
{
	char path[100], id[20], text[100];
	struct lode_store *s;
	struct lode_err err;
	snprintf(path, sizeof(path), "%s/state", m->dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/state/manager.db", m->dir);
	int rc = lode_store_open(path, &s, &err);
	if (rc)
		return rc;
	rc = lode_store_begin(s, true, &err);
	if (!rc)
		rc = put(s, LODE_DOC_FLEET, "", "all", "{\"id\":\"all\",\"name\":\"all\"}", &err);
	for (unsigned i = 0; i < AGENTS && !rc; i++) {
		snprintf(id, sizeof(id), "edge-%u", i);
		snprintf(text, sizeof(text),
			"{\"id\":\"%s\",\"name\":\"%s\",\"tags\":{},\"fleet_id\":\"all\"}", id, id);
		rc = put(s, LODE_DOC_DEVICE, "", id, text, &err);
		if (!rc)
			rc = put(s, LODE_DOC_MEMBER, "all", id, "{}", &err);
	}
	if (!rc)
		rc = lode_store_commit(s, &err);
	if (rc)
		fprintf(stderr, "%s: %s\n", path, err.msg);
	lode_store_close(s);
	return rc;
}

static int upload(const struct fleet_manager *m, const char *version, uint8_t first)
{
	char path[100];
	uint8_t *bytes = malloc(MODEL_BYTES);
	if (!bytes)
		return -1;
	for (unsigned i = 0; i < MODEL_BYTES; i++)
		bytes[i] = (uint8_t)lode_mix64(i);
	bytes[0] = first;
	snprintf(path, sizeof(path), "/api/v1/models/loss/versions/%s", version);
	int rc = expect(
		fleet_ask(m->port, "POST", path, bytes, MODEL_BYTES, NULL, 0), 201, "upload");
	free(bytes);
	return rc;
}

/* ---- heartbeats ---- */

static void end_beat(struct load *l, struct beat *b, bool answered)
{
	bool ok = answered && !strncmp(b->head, "HTTP/1.1 200", 12);
	l->n_ok += ok;
	l->n_missed += !ok;
	lode_hist_add(&l->answer_ns, lode_perf_wall_ns() - b->start_ns);
	close(b->fd);
	b->fd = -1;
	l->n_open--;
}

static void send_beat(struct load *l, struct beat *b, unsigned agent)
{
	char body[200], text[500];
	int len = snprintf(body, sizeof(body),
		"{\"status\":\"online\",\"current_model\":\"loss\",\"current_model_version\":\"%"
		"s\","
		"\"poisoned\":[]}",
		l->version);
	int n = snprintf(text, sizeof(text),
		"POST /api/v1/devices/edge-%u/heartbeat HTTP/1.1\r\nHost: m\r\nConnection: "
		"close\r\n"
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		agent, len, body);
	b->start_ns = lode_perf_wall_ns();
	b->got = 0;
	b->fd = fleet_connect(l->m->port);
	l->n_sent++;
	l->n_open++;
	if (b->fd < 0 || send(b->fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
		end_beat(l, b, false);
		return;
	}
	fcntl(b->fd, F_SETFL, O_NONBLOCK);
	epoll_ctl(l->epoll, EPOLL_CTL_ADD, b->fd,
		&(struct epoll_event){.events = EPOLLIN, .data.ptr = b});
}

/* The first bytes say all; the rest is read until the manager closes. */
static void read_beat(struct load *l, struct beat *b)
{
	char text[2048];
	ssize_t n;
	while ((n = recv(b->fd, text, sizeof(text), 0)) > 0) {
		size_t room = sizeof(b->head) - b->got;
		memcpy(b->head + b->got, text, LODE_MIN((size_t)n, room));
		b->got += LODE_MIN((size_t)n, room);
	}
	if (n == 0 || errno != EAGAIN)
		end_beat(l, b, b->got == sizeof(b->head));
}

static struct beat *free_beat(struct load *l)
{
	for (unsigned i = 0; i < OPEN_MAX; i++)
		if (l->beats[i].fd < 0)
			return &l->beats[i];
	return NULL;
}

static void expire(struct load *l, uint64_t now_ns)
{
	for (unsigned i = 0; i < OPEN_MAX; i++)
		if (l->beats[i].fd >= 0 && now_ns > l->beats[i].start_ns + TIMEOUT_NS)
			end_beat(l, &l->beats[i], false);
}

static void wait_events(struct load *l, int timeout_ms)
{
	struct epoll_event events[64];
	int n = epoll_wait(l->epoll, events, LODE_ARRAY_LEN(events), timeout_ms);
	for (int i = 0; i < n; i++)
		read_beat(l, events[i].data.ptr);
}

/* Agent i polls at a moment of its own in each interval, with up to a tenth of jitter. */
static void poll_for(struct load *l, unsigned seconds)
{
	struct lode_rng rng;
	uint64_t start_ns = lode_perf_wall_ns(), n_due = 0;
	uint64_t n_all = (uint64_t)seconds * AGENTS / INTERVAL_S;
	uint64_t gap_ns = INTERVAL_S * LODE_NS_PER_S / AGENTS;
	lode_rng_seed(&rng, 1);
	while (n_due < n_all || l->n_open) {
		uint64_t now_ns = lode_perf_wall_ns();
		uint64_t due_ns = start_ns + n_due * gap_ns + lode_rng_below(&rng, gap_ns / 10);
		struct beat *b = n_due < n_all && now_ns >= due_ns ? free_beat(l) : NULL;
		if (b)
			send_beat(l, b, (unsigned)(n_due++ * 7919 % AGENTS));
		wait_events(l, b ? 0 : 1);
		expire(l, now_ns);
	}
}

static void measure(struct lode_perf *p, struct fleet_manager *m, const char *name,
	const char *version, unsigned seconds)
{
	struct load *l = calloc(1, sizeof(*l));
	if (!l)
		return;
	l->m = m;
	l->version = version;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < OPEN_MAX; i++)
		l->beats[i].fd = -1;
	lode_perf_progress(p, "%s: %u s", name, seconds);
	double cpu_s = fleet_cpu_s(m->pid);
	uint64_t start_ns = lode_perf_wall_ns();
	poll_for(l, seconds);
	double took_s = (double)(lode_perf_wall_ns() - start_ns) * 1e-9;
	double share = (fleet_cpu_s(m->pid) - cpu_s) / took_s;
	lode_perf_row(p, name, "heartbeats", l->n_sent / took_s, "1/s", NULL, NAN);
	lode_perf_row(p, name, "missed", l->n_missed, "heartbeats", NULL, NAN);
	lode_perf_row(p, name, "CPU of the manager", share * 100, "% of core", "25 %",
		CPU_BAR / fmax(share, 1e-6));
	lode_perf_row(p, name, "answer p99", (double)lode_hist_quantile(&l->answer_ns, 0.99) * 1e-6,
		"ms", NULL, NAN);
	close(l->epoll);
	free(l);
}

int fleet_agents(struct lode_perf *p)
{
	struct fleet_manager m;
	unsigned seconds = p->argc > 0 ? (unsigned)atoi(p->argv[0]) : SECONDS;
	static const char campaign[] =
		"{\"model_id\":\"loss\",\"model_version\":\"v2\",\"fleet_id\":\"all\","
		"\"strategy\":\"all_at_once\"}";
	int rc = fleet_manager_folder(&m);
	if (!rc)
		rc = register_all(&m);
	if (!rc)
		rc = fleet_manager_start(&m);
	if (!rc)
		rc = upload(&m, "v1", 1);
	if (!rc)
		rc = upload(&m, "v2", 2);
	if (!rc) {
		measure(p, &m, "agents", "v1", seconds);
		rc = expect(fleet_ask(m.port, "POST", "/api/v1/campaigns", campaign,
				    sizeof(campaign) - 1, NULL, 0),
			201, "campaign");
	}
	if (!rc) {
		measure(p, &m, "agents, offered a model", "v1", seconds);
		measure(p, &m, "agents, taking it", "v2", seconds);
	}
	fleet_manager_stop(&m);
	return rc;
}
