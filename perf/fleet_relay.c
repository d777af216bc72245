/* SPDX-License-Identifier: BSD-3-Clause */
/* A site behind one relay: PEERS agents, as they are shipped, ask the relay of one of them for the same model at the
 * same time. What the manager sends is read from its own metrics. */
#include "fleet.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEERS	      50
#define MODEL_BYTES   (16u << 20)
#define COPIES_BAR    1.05
#define ROUND_LIMIT_S 120
#define START_TRIES   100

struct site {
	struct fleet_manager m;
	uint16_t relay_port;
	pid_t relay, peers[PEERS];
};

static int write_model(const struct site *s)
{
	char path[100];
	uint64_t word[1 << 14];
	snprintf(path, sizeof(path), "%s/model", s->m.dir);
	FILE *f = fopen(path, "we");
	for (unsigned block = 0; f && block < MODEL_BYTES / sizeof(word); block++) {
		for (unsigned i = 0; i < LODE_ARRAY_LEN(word); i++)
			word[i] = lode_mix64(block * LODE_ARRAY_LEN(word) + i + 1);
		fwrite(word, sizeof(word), 1, f);
	}
	return f && !fclose(f) ? 0 : -1;
}

static int post(const struct site *s, const char *path, const char *body)
{
	int status = fleet_ask(s->m.port, "POST", path, body, strlen(body), NULL, 0);
	if (status == 200 || status == 201)
		return 0;
	fprintf(stderr, "%s: %d\n", path, status);
	return -1;
}

/* Devices p-0 to p-49 and the relay's own, one fleet, one campaign for all at once. */
static int set_up(const struct site *s)
{
	char command[400], path[100], body[100];
	int rc = write_model(s);
	snprintf(command, sizeof(command),
		"curl -sf -o /dev/null -X POST -T '%s/model' "
		"http://127.0.0.1:%u/api/v1/models/loss/versions/v1",
		s->m.dir, s->m.port);
	if (rc || system(command) || post(s, "/api/v1/fleets", "{\"id\":\"site\"}"))
		return -1;
	for (unsigned i = 0; !rc && i <= PEERS; i++) {
		snprintf(body, sizeof(body), "{\"id\":\"p-%u\"}", i);
		snprintf(path, sizeof(path), "/api/v1/fleets/site/devices/p-%u", i);
		rc = post(s, "/api/v1/devices", body) || post(s, path, "");
	}
	return rc ? rc
		  : post(s, "/api/v1/campaigns",
			    "{\"model_id\":\"loss\",\"model_version\":\"v1\",\"fleet_id\":\"site\","
			    "\"strategy\":\"all_at_once\"}");
}

/* Bytes of all answers so far, heartbeats and plans too. */
static double sent_by_manager(const struct site *s)
{
	static const char name[] = "\nlodestone_manager_http_reply_bytes_total ";
	char command[200], text[1 << 16];
	snprintf(command, sizeof(command), "curl -sf http://127.0.0.1:%u/metrics", s->m.port);
	FILE *f = popen(command, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (f)
		pclose(f);
	text[n] = 0;
	const char *at = strstr(text, name);
	return at ? strtod(at + strlen(name), NULL) : NAN;
}

static pid_t start_agent(const struct site *s, unsigned i)
{
	char program[600], url[60], relay[60], device[20], models[100];
	snprintf(program, sizeof(program), "%s/lodestone-manager", LODE_BUILD_ROOT);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", s->m.port);
	snprintf(relay, sizeof(relay), "%s127.0.0.1:%u", i < PEERS ? "http://" : "", s->relay_port);
	snprintf(device, sizeof(device), "p-%u", i);
	snprintf(models, sizeof(models), "%s/%s", s->m.dir, device);
	pid_t pid = fork();
	if (pid)
		return pid;
	if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
		execl(program, program, "agent", "--control-plane", url, "--device-id", device,
			"--model-dir", models, "--poll-interval", "1",
			i < PEERS ? "--relay" : "--relay-listen", relay,
			i < PEERS ? "--once" : (char *)NULL, (char *)NULL);
	_exit(127);
}

static unsigned arrived(const struct site *s)
{
	char command[300];
	unsigned n = 0;
	for (unsigned i = 0; i <= PEERS; i++) {
		snprintf(command, sizeof(command),
			"cmp -s '%s/model' '%s/p-%u/ota/models/loss.bin'", s->m.dir, s->m.dir, i);
		n += system(command) == 0;
	}
	return n;
}

static int run_site(struct lode_perf *p, struct site *s)
{
	s->relay_port = (uint16_t)(s->m.port + 1);
	double before = sent_by_manager(s);
	s->relay = start_agent(s, PEERS);
	int fd = -1;
	for (unsigned i = 0; i < START_TRIES && (fd = fleet_connect(s->relay_port)) < 0; i++)
		usleep(50000);
	close(fd);
	uint64_t start_ns = lode_perf_wall_ns();
	for (unsigned i = 0; i < PEERS; i++)
		s->peers[i] = start_agent(s, i);
	for (unsigned i = 0; i < PEERS; i++)
		waitpid(s->peers[i], NULL, 0);
	double took_s = (double)(lode_perf_wall_ns() - start_ns) / 1e9;
	while (arrived(s) <= PEERS &&
		lode_perf_wall_ns() - start_ns < ROUND_LIMIT_S * LODE_NS_PER_S)
		usleep(200000);
	double copies = (sent_by_manager(s) - before) / MODEL_BYTES;
	kill(s->relay, SIGTERM);
	waitpid(s->relay, NULL, 0);
	unsigned there = arrived(s);
	lode_perf_row(p, "relay", "agents with the model", there, "", NULL, NAN);
	lode_perf_row(p, "relay", "until all peers had it", took_s, "s", NULL, NAN);
	lode_perf_row(
		p, "relay", "copies sent by the manager", copies, "", "1.05", COPIES_BAR / copies);
	return there == PEERS + 1 && copies <= COPIES_BAR ? 0 : -1;
}

int fleet_relay(struct lode_perf *p)
{
	struct site s = {0};
	int rc = fleet_manager_folder(&s.m);
	if (!rc)
		rc = fleet_manager_start(&s.m);
	if (!rc)
		rc = set_up(&s);
	if (!rc)
		rc = run_site(p, &s);
	fleet_manager_stop(&s.m);
	return rc;
}
