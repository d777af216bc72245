/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_sim.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

int lode_sim_eal_init(unsigned memory_mb, struct lode_err *err)
{
	char memory[16], prefix[40];
	snprintf(memory, sizeof(memory), "%u", memory_mb);
	snprintf(prefix, sizeof(prefix), "--file-prefix=lodestone-sim-%d", (int)getpid());
	char *argv[] = {"lodestone-sim", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry",
		"-m", memory, "-l", "0", "--log-level=4", prefix, NULL};
	cpu_set_t cpus; /* EAL pins this thread; simulations may run anywhere, several at a time */
	bool have_cpus = sched_getaffinity(0, sizeof(cpus), &cpus) == 0;
	rte_log_set_global_level(RTE_LOG_ERR);
	if (rte_eal_init((int)LODE_ARRAY_LEN(argv) - 1, argv) < 0)
		return lode_err_set(err, -rte_errno, "EAL: cannot start with %u MiB: %s", memory_mb,
			rte_strerror(rte_errno));
	if (have_cpus)
		sched_setaffinity(0, sizeof(cpus), &cpus);
	return 0;
}
