/* SPDX-License-Identifier: BSD-3-Clause */
/* A long transfer through a line that breaks. A relay in this process passes bytes between the agent and the
 * manager at RATE and cuts both sides after 1 to 30 s of its time, at random; time runs SPEED times faster than on the
 * wall, so that a quarter of an hour of transfer is measured in a minute. What lies in the sockets at a
 * cut is lost, as in a router. */
#include "fleet.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPEED		20
#define RATE		(2u << 20) /* bytes per second of its time: 1 GiB takes 512 s */
#define CUT_LEAST_S	1
#define CUT_MOST_S	30
#define SOCKET_BYTES	(128 << 10) /* what a line of that rate and 60 ms round trip holds */
#define HEARTBEAT_BYTES (64 << 10)  /* a connection that carried less was no transfer */
#define OVERHEAD_BAR	0.01
#define MIB_DEFAULT	1024

struct line {
	uint16_t from, to; /* ports: ours, the manager's */
	int listener;
	atomic_bool stop;
	atomic_ullong sent_bytes; /* towards the agent */
	atomic_uint cuts;
};

/* One direction's bytes that are there, at most n; 0 when the other side has closed. */
static ssize_t pass(int from, int to, size_t n, atomic_ullong *count)
{
	char buf[65536];
	ssize_t got = recv(from, buf, LODE_MIN(n, sizeof(buf)), MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN ? 1 : 0;
	for (ssize_t done = 0; done < got;) {
		ssize_t k = send(to, buf + done, (size_t)(got - done), MSG_NOSIGNAL);
		if (k <= 0)
			return 0;
		done += k;
	}
	if (count)
		atomic_fetch_add(count, (unsigned long long)got);
	return got;
}

/* Until a side closes or the line is cut. */
static void carry(struct line *l, int agent, int manager, uint64_t cut_ns)
{
	uint64_t start_ns = lode_perf_wall_ns(), allowed = 0, used = 0;
	while (!atomic_load(&l->stop)) {
		uint64_t spent_ns = lode_perf_wall_ns() - start_ns;
		if (spent_ns > cut_ns) {
			atomic_fetch_add(&l->cuts, used > HEARTBEAT_BYTES);
			return;
		}
		allowed = spent_ns * SPEED / 1000 * RATE / 1000000;
		struct pollfd fds[] = {{.fd = agent, .events = POLLIN},
			{.fd = allowed > used ? manager : -1, .events = POLLIN}};
		poll(fds, 2, 1);
		if (fds[0].revents && pass(agent, manager, 65536, NULL) == 0)
			return;
		if (fds[1].revents) {
			ssize_t n = pass(manager, agent, allowed - used, &l->sent_bytes);
			if (n == 0)
				return;
			used += (uint64_t)n;
		}
	}
}

/* A cut is no farewell: both sides see a reset, and what was on its way is gone. */
static void drop(int fd)
{
	struct linger now = {.l_onoff = 1};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void *run_line(void *ctx)
{
	struct line *l = ctx;
	struct lode_rng rng;
	int room = SOCKET_BYTES;
	lode_rng_seed(&rng, 1);
	while (!atomic_load(&l->stop)) {
		struct pollfd p = {.fd = l->listener, .events = POLLIN};
		if (poll(&p, 1, 50) <= 0)
			continue;
		int agent = accept(l->listener, NULL, NULL), manager = fleet_connect(l->to);
		uint64_t cut_ns =
			(CUT_LEAST_S * LODE_NS_PER_S +
				lode_rng_below(&rng, (CUT_MOST_S - CUT_LEAST_S) * LODE_NS_PER_S)) /
			SPEED;
		setsockopt(agent, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		if (agent >= 0 && manager >= 0)
			carry(l, agent, manager, cut_ns);
		drop(agent);
		drop(manager);
	}
	return NULL;
}

static int open_line(struct line *l)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int room = SOCKET_BYTES;
	l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(l->listener, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (l->listener < 0 || bind(l->listener, (struct sockaddr *)&addr, sizeof(addr)) ||
		listen(l->listener, 8) || getsockname(l->listener, (struct sockaddr *)&addr, &len))
		return -errno;
	l->from = ntohs(addr.sin_port);
	return 0;
}

/* ---- the model and the agent ---- */

static int upload(struct lode_perf *p, const struct fleet_manager *m, unsigned mib)
{
	char path[200], command[600];
	uint64_t word[1 << 14]; /* 128 KiB */
	snprintf(path, sizeof(path), "%s/model", m->dir);
	FILE *f = fopen(path, "we");
	for (uint64_t block = 0; f && block < (uint64_t)mib * 8; block++) {
		for (unsigned i = 0; i < LODE_ARRAY_LEN(word); i++)
			word[i] = lode_mix64(block * LODE_ARRAY_LEN(word) + i + 1);
		fwrite(word, sizeof(word), 1, f);
	}
	if (!f || fclose(f))
		return -1;
	lode_perf_progress(p, "cuts: uploading %u MiB", mib);
	snprintf(command, sizeof(command),
		"curl -sf -o /dev/null -X POST -T '%s' "
		"http://127.0.0.1:%u/api/v1/models/loss/versions/v1",
		path, m->port);
	return system(command) ? -1 : 0;
}

static int assign(const struct fleet_manager *m)
{
	static const struct {
		const char *path, *body;
	} steps[] = {{"/api/v1/devices", "{\"id\":\"edge\"}"},
		{"/api/v1/fleets", "{\"id\":\"one\"}"}, {"/api/v1/fleets/one/devices/edge", ""},
		{"/api/v1/campaigns",
			"{\"model_id\":\"loss\",\"model_version\":\"v1\",\"fleet_id\":\"one\","
			"\"max_attempts\":100,\"retry_s\":1}"}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(steps); i++) {
		int status = fleet_ask(m->port, "POST", steps[i].path, steps[i].body,
			strlen(steps[i].body), NULL, 0);
		if (status != 200 && status != 201) {
			fprintf(stderr, "%s: %d\n", steps[i].path, status);
			return -1;
		}
	}
	return 0;
}

/* The agent as it is shipped, until it has the model. */
static pid_t start_agent(const struct fleet_manager *m, const struct line *l)
{
	char program[600], url[60], models[100];
	snprintf(program, sizeof(program), "%s/lodestone-manager", LODE_BUILD_ROOT);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", l->from);
	snprintf(models, sizeof(models), "%s/models", m->dir);
	pid_t pid = fork();
	if (pid)
		return pid;
	if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
		execl(program, program, "agent", "--control-plane", url, "--device-id", "edge",
			"--poll-interval", "1", "--model-dir", models, (char *)NULL);
	_exit(127);
}

static bool arrived(const struct fleet_manager *m)
{
	char command[400];
	snprintf(command, sizeof(command), "cmp -s '%s/model' '%s/models/ota/models/loss.bin'",
		m->dir, m->dir);
	return system(command) == 0;
}

static bool transfer(
	struct lode_perf *p, const struct fleet_manager *m, struct line *l, unsigned mib)
{
	pid_t agent = start_agent(m, l);
	uint64_t start_ns = lode_perf_wall_ns(), total = (uint64_t)mib << 20;
	uint64_t limit_ns = (uint64_t)(60 + mib / 8) * LODE_NS_PER_S;
	bool there = false;
	while (!there && lode_perf_wall_ns() - start_ns < limit_ns) {
		usleep(500000);
		lode_perf_progress(p, "cuts: %llu of %u MiB, %u cuts",
			(unsigned long long)atomic_load(&l->sent_bytes) >> 20, mib,
			atomic_load(&l->cuts));
		there = atomic_load(&l->sent_bytes) >= total && arrived(m);
	}
	kill(agent, SIGTERM);
	waitpid(agent, NULL, 0);
	return there;
}

static int measure(struct lode_perf *p, const struct fleet_manager *m, unsigned mib)
{
	struct line l = {.to = m->port};
	pthread_t thread;
	int rc = open_line(&l);
	if (!rc)
		rc = -pthread_create(&thread, NULL, run_line, &l);
	if (rc)
		return rc;
	bool there = transfer(p, m, &l, mib);
	atomic_store(&l.stop, true);
	pthread_join(thread, NULL);
	close(l.listener);
	double extra = (double)atomic_load(&l.sent_bytes) / ((double)mib * (1 << 20)) - 1;
	lode_perf_row(p, "cuts", "cuts", atomic_load(&l.cuts), "", NULL, NAN);
	lode_perf_row(p, "cuts", "complete", there, "", NULL, NAN);
	lode_perf_row(
		p, "cuts", "overhead", extra * 100, "%", "1 %", OVERHEAD_BAR / fmax(extra, 1e-9));
	return there ? 0 : -1;
}

int fleet_cuts(struct lode_perf *p)
{
	struct fleet_manager m;
	unsigned mib = p->argc > 1 ? (unsigned)atoi(p->argv[1]) : MIB_DEFAULT;
	int rc = fleet_manager_folder(&m);
	if (!rc)
		rc = fleet_manager_start(&m);
	if (!rc)
		rc = upload(p, &m, mib);
	if (!rc)
		rc = assign(&m);
	if (!rc)
		rc = measure(p, &m, mib);
	fleet_manager_stop(&m);
	return rc;
}
