/* SPDX-License-Identifier: BSD-3-Clause */
/* EAL's argument list, made from the configuration. */
#include "gateway.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_pdump.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define ARGS_MAX  48
#define ARG_BYTES 384

struct args {
	unsigned n;
	char *v[ARGS_MAX + 1];
	char text[ARGS_MAX][ARG_BYTES];
};

static void add(struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct args *a, const char *fmt, ...)
{
	if (a->n == ARGS_MAX)
		return;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(a->text[a->n], ARG_BYTES, fmt, ap);
	va_end(ap);
	a->v[a->n] = a->text[a->n];
	a->n++;
}

/* lcore 0 is control, lcore i + 1 worker i. Several may share a CPU: then they share its time. */
static void add_lcores(struct args *a, const struct lode_config *c)
{
	char map[ARG_BYTES];
	int len = snprintf(map, sizeof(map), "0@%d", c->control_cpu);
	for (unsigned i = 0; i < c->n_workers; i++)
		len += snprintf(
			map + len, sizeof(map) - (size_t)len, ",%u@%d", i + 1, c->worker_cpus[i]);
	add(a, "--lcores=%s", map);
}

static void add_devices(struct args *a, struct gateway *g)
{
	bool pci = false;
	for (unsigned i = 0; i < g->config->n_ports; i++) {
		char device[ARG_BYTES - 8];
		if (!lode_port_eal_arg(&g->profiles[i], &g->config->ports[i], g->config->n_workers,
			    device, sizeof(device)))
			continue;
		add(a, "-a");
		add(a, "%s", device);
		pci = true;
	}
	if (!pci)
		add(a, "--no-pci");
}

/* Free hugepages of the default size, in MiB. */
static unsigned long free_hugepages_mb(void)
{
	unsigned long n = 0, kb = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "HugePages_Free: %lu", &n);
		sscanf(line, "Hugepagesize: %lu kB", &kb);
	}
	fclose(f);
	return n * kb / 1024;
}

static bool hugetlbfs_mounted(void)
{
	bool found = false;
	char line[512];
	FILE *f = fopen("/proc/mounts", "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, " hugetlbfs ") != NULL;
	if (f)
		fclose(f);
	return found;
}

/*
 * Between counting the free hugepages and taking them no other gateway may do the same: two that start at
 * once would both count on the same pages. Returns the lock, or -1 when there is no place for one.
 */
static int lock_hugepages(void)
{
	int fd = open("/run/lock/lodestone-hugepages", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void add_memory(struct args *a, struct gateway *g)
{
	unsigned long have_mb = free_hugepages_mb();
	bool mounted = hugetlbfs_mounted();
	g->hugepages = g->config->hugepages && mounted && have_mb >= g->config->memory_mb;
	if (!g->hugepages)
		add(a, "--no-huge");
	add(a, "-m");
	add(a, "%u", g->config->memory_mb);
	if (g->config->hugepages && !g->hugepages)
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN,
			"no hugepages (%lu MiB free, %u wanted%s): slower memory, no packet "
			"capture, "
			"no af_xdp; sysctl vm.nr_hugepages=%u%s",
			have_mb, g->config->memory_mb, mounted ? "" : ", hugetlbfs not mounted",
			g->config->memory_mb / 2,
			mounted ? "" : "; mount -t hugetlbfs none /dev/hugepages");
}

static int check_cpu(const cpu_set_t *allowed, int cpu, const char *key, struct lode_err *err)
{
	if (cpu >= 0 && cpu < CPU_SETSIZE && CPU_ISSET((unsigned)cpu, allowed))
		return 0;
	return lode_err_set(err, -ENODEV,
		"%s: CPU %d is not available to this process (%d are: taskset -p %d)", key, cpu,
		CPU_COUNT(allowed), (int)getpid());
}

/* EAL's own threads (telemetry, interrupts) start where this thread may run: on the control CPU. */
static int narrow_affinity(const struct lode_config *c, struct lode_err *err)
{
	cpu_set_t allowed, control;
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return lode_err_set(err, -errno, "sched_getaffinity: %s", strerror(errno));
	int rc = check_cpu(&allowed, c->control_cpu, "cpu.control", err);
	for (unsigned i = 0; i < c->n_workers && !rc; i++)
		rc = check_cpu(&allowed, c->worker_cpus[i], "cpu.workers", err);
	if (rc)
		return rc;
	CPU_ZERO(&control);
	CPU_SET((unsigned)c->control_cpu, &control);
	sched_setaffinity(0, sizeof(control), &control);
	return 0;
}

int start_eal(struct gateway *g, struct lode_err *err)
{
	int rc = narrow_affinity(g->config, err);
	struct args *a = rc ? NULL : calloc(1, sizeof(*a));
	if (!a)
		return rc ? rc : lode_err_set(err, -ENOMEM, "no memory for EAL's arguments");
	add(a, "lodestone-gateway");
	add_lcores(a, g->config);
	add(a, "--file-prefix=%s", g->config->file_prefix);
	int lock = g->config->hugepages ? lock_hugepages() : -1;
	add_memory(a, g);
	add_devices(a, g);
	/* All of DPDK's drivers load as plugins; errors of foreign ones are noise. */
	add(a, "--log-level=*:error");
	for (int i = 0; i < g->options.n_eal_args; i++)
		add(a, "%s", g->options.eal_args[i]);
	FILE *stream = log_stream(&g->log);
	if (stream)
		rte_openlog_stream(stream);
	rc = rte_eal_init((int)a->n, a->v);
	if (lock >= 0)
		close(lock);
	free(a);
	if (rc < 0)
		return lode_err_set(err, -rte_errno,
			"DPDK does not start: %s (another gateway with file_prefix \"%s\"? "
			"`lodectl "
			"doctor` looks at the machine)",
			rte_strerror(rte_errno), g->config->file_prefix);
	/* Capture needs a second process that maps our packets: hugepages only. */
	if (g->hugepages && rte_pdump_init())
		log_line(&g->log, LOG_DPDK, LODE_LOG_WARN, "packet capture is not available: %s",
			rte_strerror(rte_errno));
	return 0;
}

void stop_eal(struct gateway *g)
{
	if (g->hugepages)
		rte_pdump_uninit();
	rte_eal_cleanup();
}
