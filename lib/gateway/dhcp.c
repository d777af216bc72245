/* SPDX-License-Identifier: BSD-3-Clause */
/* Debian's udhcpc on the mirrors of ports with `dhcp: true`. What it sets on the mirror comes back to us
 * over netlink like everything else. Helper thread only: the clients die with that thread. */
#include "gateway.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTART_NS (5 * LODE_NS_PER_S)
#define SCRIPT	   "dhcp.sh"

/* Sets what the server gave, and nothing else: no resolv.conf, no route before the operator's own. */
static const char script[] =
	"#!/bin/sh\n"
	"case $1 in\n"
	"deconfig)\n"
	"\tip -4 addr flush dev \"$interface\" dynamic ;;\n"
	"bound | renew)\n"
	"\tip -4 addr replace \"$ip/$mask\" dev \"$interface\" valid_lft \"$lease\" \\\n"
	"\t\tpreferred_lft \"$lease\"\n"
	"\t[ -z \"$router\" ] || ip -4 route replace default via \"${router%% *}\" \\\n"
	"\t\tdev \"$interface\" metric \"$LODE_METRIC\" ;;\n"
	"esac\n";

static int write_script(const struct gateway *g, char *path, size_t size)
{
	snprintf(path, size, "%s/" SCRIPT, g->config->state_dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	if (fd < 0)
		return -errno;
	int rc = write(fd, script, sizeof(script) - 1) == sizeof(script) - 1 ? 0 : -EIO;
	close(fd);
	return rc;
}

/* Between fork and exec: only what is safe in a process that had threads. */
static void run_client(const char *mirror, const char *path, char *metric)
{
	char *argv[] = {"udhcpc", "-f", "-i", (char *)(uintptr_t)mirror, "-s",
		(char *)(uintptr_t)path, "-t", "4", "-T", "2", "-A", "2", "-R", NULL};
	char *envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", metric, NULL};
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execvpe(argv[0], argv, envp);
	_exit(127);
}

static void start_client(struct gateway *g, unsigned i, uint64_t now)
{
	struct mirror *m = &g->mirrors[i];
	char path[LODE_PATH_MAX + 16], metric[32];
	int rc = write_script(g, path, sizeof(path));
	snprintf(metric, sizeof(metric), "LODE_METRIC=%u", MIRROR_METRIC + i);
	m->dhcp_ns = now + RESTART_NS;
	pid_t pid = rc ? -1 : fork();
	if (pid == 0)
		run_client(m->tap.name, path, metric);
	if (pid > 0)
		m->dhcp_pid = pid;
	else
		log_line(&g->log, LOG_KERNEL, LODE_LOG_WARN, "%s: no DHCP client: %s",
			g->config->ports[i].name, strerror(rc ? -rc : errno));
}

static void check_client(struct gateway *g, unsigned i)
{
	struct mirror *m = &g->mirrors[i];
	int status;
	if (m->dhcp_pid <= 0 || waitpid(m->dhcp_pid, &status, WNOHANG) != m->dhcp_pid)
		return;
	m->dhcp_pid = 0;
	log_line(&g->log, LOG_KERNEL, LODE_LOG_WARN, "%s: DHCP client ended%s",
		g->config->ports[i].name,
		WIFEXITED(status) && WEXITSTATUS(status) == 127
			? ": udhcpc is not installed (apt install udhcpc), or run another client "
			  "on "
			  "the mirror"
			: "");
}

void dhcp_run(struct gateway *g)
{
	uint64_t now = now_ns();
	for (unsigned i = 0; i < g->config->n_ports; i++) {
		if (!g->config->ports[i].dhcp)
			continue;
		check_client(g, i);
		if (g->mirrors[i].dhcp_pid <= 0 && now >= g->mirrors[i].dhcp_ns)
			start_client(g, i, now);
	}
}

/* udhcpc gives its lease back (-R) on SIGTERM. */
void dhcp_stop(struct gateway *g)
{
	for (unsigned i = 0; i < g->config->n_ports; i++)
		if (g->mirrors[i].dhcp_pid > 0) {
			kill(g->mirrors[i].dhcp_pid, SIGTERM);
			waitpid(g->mirrors[i].dhcp_pid, NULL, 0);
			g->mirrors[i].dhcp_pid = 0;
		}
}
