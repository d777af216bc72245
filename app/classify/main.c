/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-classify: tells the gateway which application a flow is of. It makes the shared memory, hands it over by
 * the control socket, gives up every right it does not need, and then only reads rings and writes rings. */
#include "../asked.h"
#include "lode_classify.h"
#include "lode_ipc.h"
#include "lode_look.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_DEFAULT	 "/run/lodestone/control.sock"
#define CALL_TIMEOUT_MS	 5000
#define FLOWS		 4096
#define LOOKS_PER_TURN	 64
#define IDLE_NS		 2000000 /* between looks at empty rings */
#define BEAT_TURNS	 50	 /* about 100 ms */
#define NOBODY		 65534
#define MEMORY_MAX_BYTES (512ul << 20)

static const char usage[] =
	"usage: lodestone-classify [-s SOCKET], or --version\n"
	"  -s, --socket SOCKET  of the gateway whose flows it classifies (default " SOCKET_DEFAULT
	")\n";

static volatile sig_atomic_t stopping;

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

/* The gateway answers "{}" or an error in JSON, shown as it is. */
static int attach(const char *socket_path, int fd, struct lode_err *err)
{
	static const char request[] = "{\"command\":\"classify/attach\"}";
	char *reply = NULL;
	int sock = lode_ipc_connect(socket_path, err);
	if (sock < 0)
		return sock;
	long n =
		lode_ipc_call(sock, request, sizeof(request) - 1, fd, CALL_TIMEOUT_MS, &reply, err);
	close(sock);
	int rc = n < 0 ? (int)n : 0;
	if (!rc && strstr(reply, "\"error\""))
		rc = lode_err_set(err, -EPERM, "the gateway refuses: %.300s", reply);
	free(reply);
	return rc;
}

static int drop_root(struct lode_err *err)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
		setresuid(NOBODY, NOBODY, NOBODY))
		return lode_err_set(err, -errno, "giving up root: %s", strerror(errno));
	return 0;
}

/* What the loop needs, and nothing that opens, connects or starts anything. */
static int sandbox(struct lode_err *err)
{
	static const int allowed[] = {SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
		SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(brk),
		SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
		SCMP_SYS(futex), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(write),
		SCMP_SYS(close), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(getrandom),
		SCMP_SYS(sigaltstack)};
	struct rlimit memory = {MEMORY_MAX_BYTES, MEMORY_MAX_BYTES};
	setrlimit(RLIMIT_AS, &memory);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return lode_err_set(err, -errno, "no new privileges: %s", strerror(errno));
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = filter ? 0 : -ENOMEM;
	for (size_t i = 0; i < LODE_ARRAY_LEN(allowed) && !rc; i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	/* stdio asks what its file is before the first line. */
	if (!rc)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(newfstatat), 0);
	if (!rc)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	return rc ? lode_err_set(err, rc, "the system call filter: %s", strerror(-rc)) : 0;
}

static void publish_apps(const struct lode_classify *c, struct lode_look_link *l)
{
	for (unsigned i = 0; i < lode_classify_n_apps(c); i++) {
		enum lode_class cls;
		const char *name = lode_classify_app(c, i, &cls);
		if (name)
			lode_look_set_app(l, i, name, cls);
	}
}

static unsigned serve_worker(struct lode_classify *c, struct lode_look_link *l, unsigned worker)
{
	static struct lode_look look;
	unsigned n = 0;
	int app;
	while (n < LOOKS_PER_TURN && lode_look_pop(&l->looks[worker], &look)) {
		n++;
		uint16_t len = LODE_MIN(look.len, (uint16_t)LODE_LOOK_BYTES);
		uint64_t key =
			((uint64_t)worker << 60) ^ ((uint64_t)look.tag << 28) ^ look.flow_idx;
		if (!lode_classify_look(
			    c, key, look.data, len, look.time_ms, LODE_LOOK_PKTS, &app) ||
			app < 0)
			continue;
		struct lode_verdict v = {look.flow_idx, look.tag, (uint16_t)app};
		lode_look_push(&l->verdicts[worker], &v, sizeof(v));
	}
	return n;
}

static void loop(struct lode_classify *c, struct lode_look_link *l)
{
	const struct timespec nap = {.tv_nsec = IDLE_NS};
	for (unsigned turn = 0; !stopping; turn++) {
		unsigned n = 0;
		for (unsigned i = 0; i < LODE_LOOK_WORKERS; i++)
			n += serve_worker(c, l, i);
		if (!n || turn % BEAT_TURNS == 0)
			lode_look_beat(l);
		if (!n)
			nanosleep(&nap, NULL);
	}
}

static int start(const char *socket_path, struct lode_classify **c, struct lode_look_link *l,
	struct lode_err *err)
{
	int fd;
	int rc = lode_classify_new(FLOWS, c, err);
	if (!rc)
		rc = lode_look_make(l, &fd, err);
	if (rc)
		return rc;
	publish_apps(*c, l);
	rc = attach(socket_path, fd, err);
	close(fd);
	if (!rc)
		rc = drop_root(err);
	if (!rc)
		sd_notify(0, "READY=1");
	return rc ? rc : sandbox(err);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"socket", required_argument, NULL, 's'}, {0}};
	const char *socket_path = SOCKET_DEFAULT;
	struct lode_classify *c;
	struct lode_look_link link;
	struct lode_err err = {0};
	struct sigaction act = {.sa_handler = on_signal};
	int opt;
	if (answer_asked(argc, argv, "lodestone-classify", usage))
		return 0;
	while ((opt = getopt_long(argc, argv, "s:", longs, NULL)) >= 0) {
		if (opt != 's') {
			fputs(usage, stderr);
			return 2;
		}
		socket_path = optarg;
	}
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	if (start(socket_path, &c, &link, &err)) {
		fprintf(stderr, "lodestone-classify: %s\n", err.msg);
		return 3;
	}
	loop(c, &link);
	_exit(0); /* the kernel takes everything back; the filter allows little else */
}
