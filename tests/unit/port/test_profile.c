/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_port.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *drivers_dir(void)
{
	static char dir[256];
	snprintf(dir, sizeof(dir), "%s/drivers-config", getenv("LODE_SOURCE_ROOT"));
	return dir;
}

/* What `dpdk-pmdinfo` would show: the JSON that each PMD carries about itself. */
static char *pmd_info(const char *driver)
{
	char command[512], *text = calloc(1, 1 << 16);
	snprintf(command, sizeof(command),
		"cat /usr/lib/*/dpdk/pmds-*/librte_net_*.so | strings -n 20 | "
		"grep 'PMD_INFO_STRING.*\"name\" *: *\"%s\"'",
		driver);
	FILE *f = popen(command, "r");
	size_t n = fread(text, 1, (1 << 16) - 1, f);
	pclose(f);
	text[n] = 0;
	return text;
}

static void check_against_pmd(const struct lode_profile *p)
{
	char *info = pmd_info(p->driver), args[256];
	if (!info[0]) {
		fprintf(stderr, "note: PMD %s is not installed, its profile is not checked\n",
			p->driver);
		free(info);
		return;
	}
	snprintf(args, sizeof(args), "%s", p->devargs);
	for (char *save, *arg = strtok_r(args, ",", &save); arg && strchr(arg, '=');
		arg = strtok_r(NULL, ",", &save)) {
		*(strchr(arg, '=') + 1) = 0;
		cr_expect(strstr(info, arg), "%s: the PMD does not know \"%s\": %s", p->name, arg,
			info);
	}
	for (unsigned i = 0; i < p->n_pci_ids; i++) {
		char id[32];
		snprintf(id, sizeof(id), "[%u, %u,", p->pci_ids[i] >> 16, p->pci_ids[i] & 0xffff);
		cr_expect(strstr(info, id), "%s: the PMD does not serve %04x:%04x", p->name,
			p->pci_ids[i] >> 16, p->pci_ids[i] & 0xffff);
	}
	free(info);
}

Test(profile, every_shipped_one_is_valid_and_its_driver_agrees, .timeout = 60)
{
	DIR *d = opendir(drivers_dir());
	cr_assert(d, "%s", drivers_dir());
	unsigned n = 0;
	for (struct dirent *e; (e = readdir(d));) {
		char path[512], file[300];
		struct lode_profile p;
		struct lode_err err = {0};
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", drivers_dir(), e->d_name);
		cr_assert_eq(lode_profile_read(path, &p, &err), 0, "%s", err.msg);
		snprintf(file, sizeof(file), "%s.yaml", p.name);
		cr_assert_str_eq(file, e->d_name);
		check_against_pmd(&p);
		n++;
	}
	closedir(d);
	cr_assert_geq(n, 16);
}

static int read_text(const char *text, struct lode_err *err)
{
	char path[] = "/tmp/lode-profile-XXXXXX";
	struct lode_profile p;
	int fd = mkstemp(path);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	int rc = lode_profile_read(path, &p, err);
	unlink(path);
	return rc;
}

Test(profile, errors_name_line_key_and_what_is_allowed)
{
	static const struct {
		const char *text, *expect;
	} cases[] = {
		{"version: 2\n", ":1:10: version: \"2\", 1 to 1 is allowed"},
		{"version: 1\nname: a\nnmae: b\n", ":3:1: unknown key \"nmae\""},
		{"version: 1\nbus: isa\n", ":2:6: bus: \"isa\", allowed: pci vdev"},
		{"version: 1\nversion: 1\n", ":2:1: version: given twice"},
		{"version: 1\npci_ids: [8086]\n", "pci_ids: want vendor:device"},
		{"version: 1\nname: [a]\n", ":2:7: want a plain value"},
		{"version: 1\n", "key \"name\" is missing"},
		{"- a\n", "want a mapping"},
		{"version: 1\nname: \"a\n", ":3: "},
		{"version: 1\nmax_queues: 9x\n", "max_queues: \"9x\", 1 to 16 is allowed"},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(cases); i++) {
		struct lode_err err = {0};
		cr_expect_eq(read_text(cases[i].text, &err), -EINVAL);
		cr_expect(strstr(err.msg, cases[i].expect), "\"%s\" has not \"%s\"", err.msg,
			cases[i].expect);
	}
}

Test(profile, a_kernel_interface_gets_af_packet_with_its_arguments)
{
	struct lode_config_port port = {.name = "wan1", .device = "eth7", .mtu_bytes = 1500};
	struct lode_profile p;
	struct lode_err err = {0};
	char args[256];
	cr_assert_eq(lode_profile_pick(drivers_dir(), &port, &p, &err), 0, "%s", err.msg);
	cr_assert_str_eq(p.driver, "net_af_packet");
	cr_assert_eq(lode_profile_devargs(&p, &port, 2, args, sizeof(args)), 0);
	cr_assert_eq(strncmp(args, "iface=eth7,qpairs=2,framesz=2048,", 33), 0, "%s", args);
	port.mtu_bytes = 9000; /* of which the profile takes 1500 */
	lode_profile_devargs(&p, &port, 2, args, sizeof(args));
	cr_assert(strstr(args, "framesz=2048"), "%s", args);
	cr_assert_eq(lode_profile_devargs(&p, &port, 2, args, 20), -ENOSPC);
}

Test(profile, device_and_profile_that_do_not_fit_are_refused)
{
	struct lode_config_port port = {.name = "wan1", .device = "eth7", .profile = "ixgbe"};
	struct lode_profile p;
	struct lode_err err = {0};
	cr_assert_eq(lode_profile_pick(drivers_dir(), &port, &p, &err), -EINVAL);
	cr_assert(strstr(err.msg, "wan1") && strstr(err.msg, "eth7"), "%s", err.msg);
	strcpy(port.profile, "nosuch");
	cr_assert_eq(lode_profile_pick(drivers_dir(), &port, &p, &err), -ENOENT);
	strcpy(port.profile, "");
	strcpy(port.device, "0000:ff:1f.7");
	cr_assert_eq(lode_profile_pick(drivers_dir(), &port, &p, &err), -ENODEV);
}
