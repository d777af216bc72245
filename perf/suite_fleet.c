/* SPDX-License-Identifier: BSD-3-Clause */
/* The manager under load, by the bars of model delivery:
 *   agents   10 000 of them poll every 30 s: heartbeats missed, CPU of the manager
 *   cuts     a transfer of 1 GiB through a line that breaks at random: bytes sent twice
 *   plane    delay of single packets through two gateways while a model is transferred, against runs without
 *   relay    50 agents behind the relay of one: copies that the manager sends
 * --only NAME runs one. Arguments after --: seconds of `agents` (60), MiB of `cuts` (1024), seconds of a run of
 * `plane` (10). */
#include "fleet.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TRIES 100
#define PORT_FIRST  20000
#define PORTS	    20000

int suite_fleet(struct lode_perf *p);

int fleet_connect(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd < 0 ? -errno : fd;
}

static int send_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;
	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n <= 0)
			return -EPIPE;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_reply(int fd, char *reply, size_t size)
{
	char buf[8192];
	size_t len = 0;
	int status = -EPROTO;
	ssize_t n;
	while (len < sizeof(buf) - 1 && (n = recv(fd, buf + len, sizeof(buf) - 1 - len, 0)) > 0)
		len += (size_t)n;
	buf[len] = 0;
	const char *body = strstr(buf, "\r\n\r\n");
	if (sscanf(buf, "HTTP/1.1 %d", &status) != 1 || !body)
		return -EPROTO;
	if (reply)
		snprintf(reply, size, "%s", body + 4);
	return status;
}

int fleet_ask(uint16_t port, const char *method, const char *path, const void *body, size_t len,
	char *reply, size_t size)
{
	char head[512];
	int fd = fleet_connect(port);
	if (fd < 0)
		return fd;
	int n = snprintf(head, sizeof(head),
		"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: "
		"%zu\r\n\r\n",
		method, path, len);
	int rc = send_all(fd, head, (size_t)n);
	if (!rc)
		rc = send_all(fd, body, len);
	if (!rc)
		rc = read_reply(fd, reply, size);
	close(fd);
	return rc;
}

static void run_manager(const struct fleet_manager *m)
{
	char program[600], port[8], state[100];
	snprintf(program, sizeof(program), "%s/lodestone-manager", LODE_BUILD_ROOT);
	snprintf(port, sizeof(port), "%u", m->port);
	snprintf(state, sizeof(state), "%s/state", m->dir);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (freopen("/dev/null", "w", stdout))
		execl(program, program, "serve", "--insecure-loopback", "--port", port, "--data",
			state, "--gateway", "", (char *)NULL);
	perror(program);
	_exit(127);
}

int fleet_manager_folder(struct fleet_manager *m)
{
	*m = (struct fleet_manager){.dir = "/tmp/lode-perf-fleet-XXXXXX"};
	return mkdtemp(m->dir) ? 0 : -errno;
}

int fleet_manager_start(struct fleet_manager *m)
{
	m->port = (uint16_t)(PORT_FIRST + getpid() % PORTS);
	m->pid = fork();
	if (m->pid == 0)
		run_manager(m);
	for (unsigned i = 0; m->pid > 0 && i < START_TRIES; i++) {
		if (fleet_ask(m->port, "GET", "/api/v1/health", "", 0, NULL, 0) == 200)
			return 0;
		usleep(50000);
	}
	fprintf(stderr, "the manager does not answer on port %u\n", m->port);
	return -ETIMEDOUT;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void fleet_manager_stop(struct fleet_manager *m)
{
	if (m->pid > 0) {
		kill(m->pid, SIGTERM);
		waitpid(m->pid, NULL, 0);
	}
	if (*m->dir)
		nftw(m->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

double fleet_cpu_s(pid_t pid)
{
	char path[40], line[1024];
	unsigned long user = 0, system = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "re");
	const char *rest = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	if (f)
		fclose(f);
	if (rest)
		sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			&system);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

int suite_fleet(struct lode_perf *p)
{
	static const struct {
		const char *name;
		int (*run)(struct lode_perf *p);
	} rows[] = {{"agents", fleet_agents}, {"cuts", fleet_cuts}, {"plane", fleet_plane},
		{"relay", fleet_relay}};
	int failed = 0;
	for (size_t i = 0; i < LODE_ARRAY_LEN(rows); i++)
		if (lode_perf_wanted(p, rows[i].name))
			failed |= rows[i].run(p);
	return failed;
}
