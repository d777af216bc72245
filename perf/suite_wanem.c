/* SPDX-License-Identifier: BSD-3-Clause */
/* How true lodestone-wanem is: in a network namespace of its own, raw frames go through it from one veth
 * pair to another; the kernel's timestamps say how long they took and how many came per second.
 *   lode-perf wanem [-- PROGRAM [OPTIONS...]]     default: lodestone-wanem beside lode-perf; needs root */
#include "lode_perf.h"

#include "lode_clock.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <math.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int suite_wanem(struct lode_perf *p);

#define ETHERTYPE_TEST 0x88b5 /* IEEE local experimental */
#define PKTS_MAX       200000
#define OPTIONS_MAX    8

struct run {
	const char *name;
	const char *settings[4]; /* of the link, NULL-terminated */
	double rate_bps;	 /* expected to be delivered; 0: the delay is measured */
	double delay_ms;
	uint32_t ip_bytes;
	double offered_pps;
	double seconds;
};

static const struct run runs[] = {
	{"delay 10 ms, 1000 pps", {"delay=10ms"}, 0, 10, 200, 1000, 5},
	{"delay 30 ms, 50 Mbit/s, 2000 pps", {"delay=30ms", "rate=50M"}, 0, 30, 500, 2000, 5},
	{"delay 0 ms, 500 pps", {"delay=0"}, 0, 0, 100, 500, 4},
	{"rate 10 Mbit/s, 1500 B", {"rate=10M", "queue=50"}, 10e6, 0, 1500, 1300, 6},
	{"rate 50 Mbit/s, 1400 B", {"rate=50M", "queue=100"}, 50e6, 0, 1400, 6000, 6},
	{"rate 200 Mbit/s, 1500 B", {"rate=200M", "queue=200"}, 200e6, 0, 1500, 21000, 5},
	{"rate 20 Mbit/s, 100 B", {"rate=20M", "queue=200"}, 20e6, 0, 100, 32000, 4},
};

static int shell(const char *command)
{
	int rc = system(command);
	return WIFEXITED(rc) && WEXITSTATUS(rc) == 0 ? 0 : -EIO;
}

static int open_socket(const char *iface)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_TEST)};
	int on = 1, buf = 32 << 20, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	addr.sll_ifindex = (int)if_nametoindex(iface);
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buf, sizeof(buf));
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : fd;
}

static pid_t start_wanem(const char *program, int n_options, char **options, const struct run *r)
{
	const char *argv[32] = {program};
	int ready[2], n = 1;
	for (int i = 0; i < n_options && i < OPTIONS_MAX; i++)
		argv[n++] = options[i];
	argv[n++] = "link";
	argv[n++] = "name=truth";
	argv[n++] = "a=lw1";
	argv[n++] = "b=lw2";
	for (int i = 0; i < 4 && r->settings[i]; i++)
		argv[n++] = r->settings[i];
	if (pipe(ready))
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ready[1], STDOUT_FILENO);
		close(ready[0]);
		execvp(program, (char *const *)argv);
		perror(program);
		_exit(127);
	}
	close(ready[1]);
	char line[16];
	bool ok = read(ready[0], line, sizeof(line)) > 0;
	close(ready[0]);
	return ok ? pid : -1;
}

/* Each frame carries the time it was handed to the kernel. Sleeps between frames: the core is shared. */
static void send_all(int fd, const struct run *r)
{
	uint8_t frame[ETH_HLEN + 1500] = {
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, ETHERTYPE_TEST >> 8, ETHERTYPE_TEST & 0xff};
	uint64_t start = lode_clock_wall_ns(), gap = (uint64_t)(1e9 / r->offered_pps);
	uint64_t n = (uint64_t)(r->seconds * r->offered_pps);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = start + i * gap, now;
		while ((now = lode_clock_wall_ns()) < at) {
			struct timespec t = {0, (long)LODE_MIN(at - now, 50000000u)};
			nanosleep(&t, NULL);
		}
		memcpy(frame + ETH_HLEN, &now, sizeof(now));
		if (send(fd, frame, ETH_HLEN + r->ip_bytes, 0) < 0)
			break;
	}
}

struct arrival {
	uint64_t sent_ns, rx_ns;
};

/* Reads until half a second of silence. */
static unsigned receive_all(int fd, struct arrival *arrivals)
{
	struct timeval patience = {.tv_usec = 500000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	unsigned n = 0;
	while (n < PKTS_MAX) {
		uint8_t frame[64], control[64];
		struct iovec iov = {frame, sizeof(frame)};
		struct msghdr msg = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		if (recvmsg(fd, &msg, MSG_TRUNC) < ETH_HLEN + 8)
			break;
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		struct timespec t = {0};
		if (c && c->cmsg_type == SO_TIMESTAMPNS)
			memcpy(&t, CMSG_DATA(c), sizeof(t));
		memcpy(&arrivals[n].sent_ns, frame + ETH_HLEN, 8);
		arrivals[n++].rx_ns = (uint64_t)t.tv_sec * LODE_NS_PER_S + (uint64_t)t.tv_nsec;
	}
	return n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void report_delay(
	struct lode_perf *p, const struct run *r, const struct arrival *a, unsigned n)
{
	double *error_ms = malloc(n * sizeof(*error_ms) + 1);
	double own_ms = r->rate_bps ? 0 : r->delay_ms;
	if (r->settings[1] && !r->rate_bps) /* time on the wire at 50 Mbit/s */
		own_ms += r->ip_bytes * 8 / 50e6 * 1e3;
	for (unsigned i = 0; i < n; i++)
		error_ms[i] = fabs((double)(a[i].rx_ns - a[i].sent_ns) / 1e6 - own_ms);
	qsort(error_ms, n, sizeof(*error_ms), by_value);
	lode_perf_row(p, r->name, "delay error p50", error_ms[n / 2], "ms", NULL, NAN);
	lode_perf_row(p, r->name, "delay error p99", error_ms[n * 99 / 100], "ms", "1 ms allowed",
		1 / error_ms[n * 99 / 100]);
	lode_perf_row(
		p, r->name, "packets lost", r->seconds * r->offered_pps - n, "packets", NULL, NAN);
	free(error_ms);
}

/* Over the middle: the first second fills the queue, the last half empties it. */
static void report_rate(
	struct lode_perf *p, const struct run *r, const struct arrival *a, unsigned n)
{
	unsigned first = 0, last = n - 1;
	while (first < n && a[first].rx_ns < a[0].rx_ns + LODE_NS_PER_S)
		first++;
	while (last > first && a[last].rx_ns > a[n - 1].rx_ns - LODE_NS_PER_S / 2)
		last--;
	double bps = (last - first) * 8.0 * r->ip_bytes /
		     ((double)(a[last].rx_ns - a[first].rx_ns) / 1e9);
	double error = 100 * fabs(bps / r->rate_bps - 1);
	lode_perf_row(p, r->name, "rate", bps / 1e6, "Mbit/s", NULL, NAN);
	lode_perf_row(p, r->name, "rate error", error, "%", "0.5 % allowed", 0.5 / error);
}

static int measure(struct lode_perf *p, const struct run *r, const char *program, int n_options,
	char **options)
{
	struct arrival *arrivals = malloc(PKTS_MAX * sizeof(*arrivals));
	pid_t wanem = start_wanem(program, n_options, options, r);
	int tx = open_socket("lh1"), rx = open_socket("lh2");
	if (!arrivals || wanem < 0 || tx < 0 || rx < 0)
		return -EIO;
	pid_t sender = fork();
	if (sender == 0) {
		/* Below the emulator's own priority: the instrument must not starve either. */
		struct sched_param priority = {.sched_priority = 5};
		sched_setscheduler(0, SCHED_FIFO, &priority);
		prctl(PR_SET_TIMERSLACK, 1);
		send_all(tx, r);
		_exit(0);
	}
	unsigned n = receive_all(rx, arrivals);
	waitpid(sender, NULL, 0);
	kill(wanem, SIGTERM);
	waitpid(wanem, NULL, 0);
	close(tx);
	close(rx);
	if (n < 100)
		fprintf(stderr, "%s: only %u packets came through\n", r->name, n);
	else if (r->rate_bps)
		report_rate(p, r, arrivals, n);
	else
		report_delay(p, r, arrivals, n);
	free(arrivals);
	return n < 100 ? -EIO : 0;
}

int suite_wanem(struct lode_perf *p)
{
	char program[4096];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 64);
	char *slash = len > 0 ? memrchr(program, '/', (size_t)len) : NULL;
	strcpy(slash ? slash : program, "/../lodestone-wanem");
	if (unshare(CLONE_NEWNET) || shell("ip link add lh1 type veth peer name lw1 && ip link add "
					   "lh2 type veth peer name lw2 && "
					   "for i in lh1 lh2 lw1 lw2; do "
					   "echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; ip "
					   "link set $i up; done")) {
		fprintf(stderr,
			"wanem: not measurable here: a network namespace with veth needs root\n");
		return 0;
	}
	int n_options = p->argc > 1 ? p->argc - 1 : 0;
	for (size_t i = 0; i < LODE_ARRAY_LEN(runs); i++)
		if (lode_perf_wanted(p, runs[i].name) &&
			measure(p, &runs[i], p->argc ? p->argv[0] : program, n_options,
				p->argv + 1))
			return -EIO;
	return 0;
}
