/* SPDX-License-Identifier: BSD-3-Clause */
/* Looks at the machine the way a colleague would before asking questions: each finding says what was seen,
 * what follows, and the command that mends it. */
#include "lodectl.h"

#include "lode_config.h"

#include <dirent.h>
#include <glob.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum verdict { FINE, WARN, BAD };
static const char *const verdict_name[] = {"ok", "warn", "FAIL"};

struct report {
	struct table table;
	json_t *json;
	enum verdict worst;
};

static void finding(struct report *r, enum verdict v, const char *what, const char *fix,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static void finding(
	struct report *r, enum verdict v, const char *what, const char *fix, const char *fmt, ...)
{
	char seen[400];
	va_list args;
	va_start(args, fmt);
	vsnprintf(seen, sizeof(seen), fmt, args);
	va_end(args);
	table_cell(&r->table, "%s", verdict_name[v]);
	table_cell(&r->table, "%s", what);
	table_cell(&r->table, "%s", seen);
	table_cell(&r->table, "%s", v == FINE ? "" : fix);
	json_array_append_new(r->json, json_pack("{s:s,s:s,s:s,s:s}", "verdict", verdict_name[v],
					       "check", what, "found", seen, "fix", fix));
	r->worst = LODE_MAX(r->worst, v);
}

static bool read_line(const char *path, char *text, int size)
{
	FILE *f = fopen(path, "r");
	text[0] = '\0';
	if (!f)
		return false;
	bool ok = fgets(text, size, f) != NULL;
	text[strcspn(text, "\n")] = '\0';
	fclose(f);
	return ok;
}

static long read_number(const char *path)
{
	char text[64];
	return read_line(path, text, sizeof(text)) ? strtol(text, NULL, 10) : -1;
}

static void check_hugepages(struct report *r)
{
	char path[300];
	glob_t nodes;
	long total = 0, free_pages = 0;
	if (glob("/sys/devices/system/node/node*/hugepages/hugepages-2048kB", 0, NULL, &nodes) ==
		0) {
		for (size_t i = 0; i < nodes.gl_pathc; i++) {
			snprintf(path, sizeof(path), "%s/nr_hugepages", nodes.gl_pathv[i]);
			total += read_number(path);
			snprintf(path, sizeof(path), "%s/free_hugepages", nodes.gl_pathv[i]);
			free_pages += read_number(path);
		}
		globfree(&nodes);
	}
	finding(r, free_pages >= 128 ? FINE : WARN, "hugepages",
		"sysctl -w vm.nr_hugepages=512 (and a file in /etc/sysctl.d)",
		"%ld of 2 MiB, %ld free%s", total, free_pages,
		free_pages >= 128 ? "" : "; without them: 4 KiB pages, no dumpcap, no af_xdp");
	glob_t strays;
	if (glob("/dev/hugepages/*map_*", 0, NULL, &strays) == 0) {
		finding(r, total > free_pages ? WARN : FINE, "hugepage files",
			"rm /dev/hugepages/PREFIXmap_* when no DPDK process runs",
			"%zu files of earlier or running DPDK processes", strays.gl_pathc);
		globfree(&strays);
	}
}

static void check_vfio(struct report *r)
{
	DIR *groups = opendir("/sys/kernel/iommu_groups");
	int n_groups = 0;
	for (struct dirent *e; groups && (e = readdir(groups));)
		n_groups += e->d_name[0] != '.';
	if (groups)
		closedir(groups);
	finding(r, n_groups ? FINE : WARN, "IOMMU",
		"boot with intel_iommu=on iommu=pt (or amd_iommu=on)", "%d groups%s", n_groups,
		n_groups ? ""
			 : ": PCI ports need vfio's no-iommu mode; software ports do not care");
	bool loaded = access("/sys/module/vfio_pci", F_OK) == 0;
	finding(r, loaded ? FINE : WARN, "vfio-pci", "modprobe vfio-pci", "%s",
		loaded ? "loaded"
		       : "not loaded: PCI ports other than bifurcated ones cannot be bound");
}

static void check_limits(struct report *r)
{
	struct rlimit limit;
	char isolated[200], clock[64];
	getrlimit(RLIMIT_MEMLOCK, &limit);
	bool enough = limit.rlim_cur == RLIM_INFINITY || geteuid() == 0;
	finding(r, enough ? FINE : BAD, "locked memory", "LimitMEMLOCK=infinity in the unit", "%s",
		enough ? "unlimited" : "limited: pages cannot be pinned");
	bool any = read_line("/sys/devices/system/cpu/isolated", isolated, sizeof(isolated)) &&
		   *isolated;
	finding(r, any ? FINE : WARN, "isolated CPUs",
		"boot with isolcpus=LIST nohz_full=LIST rcu_nocbs=LIST", "%s",
		any ? isolated : "none: other programs run on the workers' CPUs and add latency");
	read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", clock,
		sizeof(clock));
	bool fast = !strcmp(clock, "tsc") || !strcmp(clock, "kvm-clock");
	finding(r, fast ? FINE : WARN, "clock", "boot with tsc=reliable if the CPU's is", "%s%s",
		clock, fast ? "" : ": reading the time is slow");
}

static void check_cpus(struct report *r, const struct lode_config *c)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	for (unsigned i = 0; i < c->n_workers; i++) {
		if (c->worker_cpus[i] >= n)
			finding(r, BAD, "cpu.workers", "name a CPU that is there",
				"CPU %d wanted, 0..%ld present", c->worker_cpus[i], n - 1);
		else if (c->worker_cpus[i] == c->control_cpu)
			finding(r, WARN, "cpu.workers", "give the worker a CPU of its own",
				"CPU %d serves control and a worker", c->worker_cpus[i]);
	}
}

/* The driver of a device's bus binding, "" if none. */
static void driver_of(const char *device_dir, char *driver, size_t size)
{
	char link[300], target[300];
	snprintf(link, sizeof(link), "%s/driver", device_dir);
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	driver[0] = '\0';
	if (n <= 0)
		return;
	target[n] = '\0';
	const char *slash = strrchr(target, '/');
	snprintf(driver, size, "%s", slash ? slash + 1 : target);
}

static void check_pci(struct report *r, const struct lode_config_port *p)
{
	char dir[200], driver[100], fix[200];
	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", p->device);
	if (access(dir, F_OK)) {
		finding(r, BAD, p->name, "lspci -D lists the addresses", "no PCI device %s",
			p->device);
		return;
	}
	driver_of(dir, driver, sizeof(driver));
	bool bifurcated = !strncmp(driver, "mlx", 3);
	bool bound = !strcmp(driver, "vfio-pci") || bifurcated;
	snprintf(fix, sizeof(fix), "dpdk-devbind.py -b vfio-pci %s", p->device);
	finding(r, bound ? FINE : BAD, p->name, fix, "PCI device, driver %s",
		*driver ? driver : "none");
}

/* A veth hands frames over with the checksum its far end never computed. */
static void check_offloads(struct report *r, const struct lode_config_port *p, const char *driver)
{
	if (strcmp(driver, "veth"))
		return;
	finding(r, WARN, p->name, "ethtool -K FAR_END tx off",
		"veth: its far end must compute checksums, which it does not by default");
}

static void check_stray_addresses(struct report *r, const struct lode_config_port *p)
{
	struct ifaddrs *list;
	char fix[200];
	int n = 0;
	if (getifaddrs(&list))
		return;
	for (struct ifaddrs *a = list; a; a = a->ifa_next)
		n += a->ifa_addr && !strcmp(a->ifa_name, p->device) &&
		     (a->ifa_addr->sa_family == AF_INET || a->ifa_addr->sa_family == AF_INET6);
	freeifaddrs(list);
	snprintf(fix, sizeof(fix), "none needed; or: ip addr flush dev %s", p->device);
	if (n)
		finding(r, WARN, p->name, fix,
			"%d kernel addresses: the gateway saves and removes them while it runs", n);
}

static void check_kernel_device(struct report *r, const struct lode_config_port *p)
{
	char dir[200], driver[100], path[260], ethtool_driver[100] = "";
	snprintf(dir, sizeof(dir), "/sys/class/net/%s", p->device);
	if (access(dir, F_OK)) {
		finding(r, BAD, p->name, "ip link lists the interfaces", "no kernel interface %s",
			p->device);
		return;
	}
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (char *)&info};
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", p->device);
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock >= 0 && ioctl(sock, SIOCETHTOOL, &request) == 0)
		snprintf(ethtool_driver, sizeof(ethtool_driver), "%s", info.driver);
	if (sock >= 0)
		close(sock);
	snprintf(path, sizeof(path), "%s/device", dir);
	driver_of(path, driver, sizeof(driver));
	snprintf(path, sizeof(path), "%s/mtu", dir);
	long mtu = read_number(path);
	finding(r, mtu >= p->mtu_bytes ? FINE : WARN, p->name, "ip link set dev IFACE mtu N",
		"kernel interface (%s), through af_packet; MTU %ld, %u configured",
		*driver ? driver : ethtool_driver, mtu, p->mtu_bytes);
	check_offloads(r, p, ethtool_driver);
	check_stray_addresses(r, p);
}

static void check_port(struct report *r, const struct lode_config_port *p)
{
	bool pci = strlen(p->device) == 12 && p->device[4] == ':' && p->device[7] == ':';
	if (pci)
		check_pci(r, p);
	else if (!strncmp(p->profile, "tap", 3) || !strncmp(p->profile, "null", 4) ||
		 !strncmp(p->profile, "ring", 4) || !strncmp(p->profile, "pcap", 4))
		finding(r, FINE, p->name, "", "software port, profile %s", p->profile);
	else
		check_kernel_device(r, p);
}

static void check_files(struct report *r, const struct lode_config *c)
{
	uint8_t key[LODE_KEY_BYTES];
	struct lode_err err;
	int rc = lode_config_read_key(c->key_file, key, &err);
	explicit_bzero(key, sizeof(key));
	finding(r, rc ? BAD : FINE, "private key", "lodectl key generate FILE; chmod 600 FILE",
		"%s", rc ? err.msg : c->key_file);
	bool writable = access(c->state_dir, W_OK) == 0;
	finding(r, writable ? FINE : WARN, "state directory", "mkdir -p -m 0700 DIR", "%s%s",
		c->state_dir,
		writable ? "" : " cannot be written (it is made at start if its parent is)");
}

static enum exit_code print_report(struct lodectl *ctl, struct report *r, enum exit_code on_bad)
{
	if (ctl->json)
		print_json(r->json);
	else
		table_end(&r->table, stdout);
	json_decref(r->json);
	return r->worst == BAD ? on_bad : EXIT_OK;
}

static int doctor(struct lodectl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {"", "CHECK", "FOUND", "MENDED BY"};
	struct lode_config *config = NULL;
	struct lode_err err;
	struct report r = {.json = json_array()};
	if (argc > 1)
		return complain(EXIT_OTHER, "usage: lodectl doctor [CONFIGURATION]");
	if (argc == 1 && lode_config_load(argv[0], &config, &err))
		return complain(EXIT_CONFIG, "%s", err.msg);
	table_begin(&r.table, LODE_ARRAY_LEN(heads), heads);
	check_hugepages(&r);
	check_vfio(&r);
	check_limits(&r);
	enum exit_code on_bad = EXIT_ENVIRONMENT;
	if (config) {
		check_cpus(&r, config);
		check_files(&r, config);
		enum verdict before = r.worst;
		for (unsigned i = 0; i < config->n_ports; i++)
			check_port(&r, &config->ports[i]);
		if (before != BAD && r.worst == BAD)
			on_bad = EXIT_DEVICE;
	}
	lode_config_free(config);
	return print_report(ctl, &r, on_bad);
}

const struct command doctor_commands[] = {
	{"doctor", "", "[CONFIGURATION]", "look at machine and ports, name what to mend", doctor},
	COMMANDS_END,
};
