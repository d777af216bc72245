/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "agent_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(agent, .init = agent_world_up, .fini = agent_world_down, .timeout = 60);

static int cut_power(void *ctx, const char *what)
{
	(void)ctx, (void)what;
	if (++world.n_writes == world.cut_at)
		_exit(42);
	return 0;
}

Test(agent, installs_updates_by_patch_and_then_rests)
{
	char version[16], path[200];
	install_first();
	offer(2);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_str_eq(version, "2");
	cr_assert_eq(active_version(), 2);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_IDLE);
	snprintf(path, sizeof(path), "%s/ota/backup/m_PREV.bin", world.models);
	cr_assert_eq(access(path, R_OK), 0, "the version before is kept");
}

Test(agent, an_unhealthy_model_goes_and_is_left_alone_after_three_times)
{
	char version[16];
	install_first();
	offer(2);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(
			round_of("exit 3", version), i ? LODE_AGENT_IDLE : LODE_AGENT_ROLLED_BACK);
		cr_assert_eq(active_version(), 1);
		cr_assert_str_eq(version, "1");
		/* The manager does not offer it again after a health failure: only a new campaign does. */
	}
}

Test(agent, a_failing_first_install_leaves_nothing)
{
	char version[16];
	start_server();
	cr_assert_eq(round_of("exit 1", version), LODE_AGENT_ROLLED_BACK);
	cr_assert_eq(active_version(), 0);
	cr_assert_str_eq(version, "");
}

Test(agent, a_health_check_that_hangs_is_ended)
{
	struct lode_agent_options o = agent_options("sleep 100");
	struct lode_agent *a;
	struct lode_err err;
	start_server();
	o.health_timeout_s = 1;
	cr_assert_eq(lode_agent_new(&o, &a, &err), 0);
	cr_assert_eq(lode_agent_round(a, &err), LODE_AGENT_ROLLED_BACK);
	lode_agent_free(a);
}

Test(agent, a_stopped_transfer_goes_on_where_it_was)
{
	char version[16], part[300];
	start_server();
	world.stop_at_bytes = 1;
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_IDLE);
	snprintf(part, sizeof(part), "ls %s/ota/staging/parts/get-* >/dev/null", world.models);
	cr_assert_eq(system(part), 0, "the beginning is kept");
	world.stop_at_bytes = 0;
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
}

/* After a power cut the end of a part may be anything: then it comes from the start. */
Test(agent, a_torn_beginning_costs_a_second_transfer_only)
{
	char version[16], command[400];
	start_server();
	world.stop_at_bytes = 1;
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_IDLE);
	world.stop_at_bytes = 0;
	snprintf(command, sizeof(command),
		"for f in %s/ota/staging/parts/get-*; do printf torn >>$f; done", world.models);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(round_of(NULL, version), LODE_AGENT_UPDATED);
	cr_assert_eq(active_version(), 1);
}

Test(agent, without_its_manager_it_backs_off)
{
	struct lode_agent_options o = agent_options(NULL);
	struct lode_agent *a;
	struct lode_err err;
	o.poll_interval_s = 10;
	cr_assert_eq(lode_agent_new(&o, &a, &err), 0);
	cr_assert_leq(lode_agent_wait_s(a), 11);
	for (int i = 0; i < 8; i++)
		cr_assert_eq(lode_agent_round(a, &err), LODE_AGENT_UNREACHABLE);
	cr_assert_geq(lode_agent_wait_s(a), 300);
	cr_assert_leq(lode_agent_wait_s(a), 330);
	lode_agent_free(a);
}

Test(agent, a_power_cut_at_any_write_leaves_old_or_new)
{
	char version[16];
	int n_cuts = 0;
	install_first();
	offer(2);
	for (world.cut_at = 1;; world.cut_at++) {
		pid_t pid = fork();
		if (!pid) {
			struct lode_agent_options o = agent_options(NULL);
			struct lode_agent *a;
			struct lode_err err;
			o.on_write = cut_power;
			if (lode_agent_new(&o, &a, &err))
				_exit(1);
			lode_agent_round(a, &err);
			_exit(0);
		}
		int status;
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 1);
		int found = active_version();
		cr_assert(found == 1 || found == 2, "cut %d: version %d", world.cut_at, found);
		if (WEXITSTATUS(status) == 0)
			break;
		n_cuts++;
	}
	cr_assert_geq(n_cuts, 3);
	cr_assert_neq(round_of(NULL, version), LODE_AGENT_FAILED);
	cr_assert_str_eq(version, "2");
	cr_assert_eq(active_version(), 2);
}
