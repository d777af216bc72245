/* SPDX-License-Identifier: BSD-3-Clause */
/* The checks of the swarm themselves: a sound run passes, and each way of breaking a promise is found as what
 * it is. The scenarios of real size run in tests/sim. */
#include "lode_swarm.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct lode_swarm_spec spec;
static struct lode_swarm_result result;
static struct lode_err err;

static void setup(void)
{
	cr_assert_eq(lode_sim_eal_init(512, &err), 0, "%s", err.msg);
	spec = (struct lode_swarm_spec){.seed = 1, .seconds = 12};
}
TestSuite(swarm, .init = setup, .timeout = 100);

Test(swarm, sound_gateways_pass_and_the_same_again)
{
	spec.kinds = LODE_SWARM_ALL_KINDS;
	cr_assert_eq(lode_swarm_run(&spec, &result, &err), 0, "%s", err.msg);
	cr_assert_geq(result.sent_pkts, 12 * 2000);
	cr_assert_geq(result.n_faults, 5);
	uint64_t digest = result.digest;
	cr_assert_eq(lode_swarm_run(&spec, &result, &err), 0, "%s", err.msg);
	cr_assert_eq(result.digest, digest);
	spec.seed = 3;
	cr_assert_eq(lode_swarm_run(&spec, &result, &err), 0, "%s", err.msg);
	cr_assert_neq(result.digest, digest);
}

static void finds(enum lode_sim_sabotage sabotage, const char *what)
{
	spec.sabotage = sabotage;
	cr_assert_eq(lode_swarm_run(&spec, &result, &err), -EBADMSG);
	cr_assert(strstr(err.msg, what), "found instead: %s", err.msg);
}

Test(swarm, finds_an_altered_packet)
{
	finds(LODE_SIM_ALTER, "1 packets altered");
}

Test(swarm, finds_a_packet_delivered_twice)
{
	finds(LODE_SIM_TWICE, "1 packets delivered twice");
}

Test(swarm, finds_two_packets_swapped)
{
	finds(LODE_SIM_SWAP, "1 packets out of order without leave");
}

Test(swarm, finds_a_packet_gone_astray)
{
	finds(LODE_SIM_ASTRAY, "1 packets to wrong hosts");
}

Test(swarm, finds_a_loss_that_nobody_counted)
{
	finds(LODE_SIM_LOSE, "frames in = frames out");
}

Test(swarm, finds_a_lost_buffer)
{
	finds(LODE_SIM_LEAK, "packet buffers are in use");
}

Test(swarm, finds_another_dscp)
{
	finds(LODE_SIM_REMARK, "1 packets with another DSCP or ECN");
}

Test(swarm, finds_a_packet_kept_too_long)
{
	spec.seconds = 20; /* it comes back 10 s later */
	finds(LODE_SIM_DELAY, "1 packets later than their class allows");
}

/* What is left out must change nothing else: that is what makes shrinking worth while. */
Test(swarm, faults_are_independent)
{
	spec.kinds = LODE_SWARM_ALL_KINDS;
	cr_assert_eq(lode_swarm_run(&spec, &result, &err), 0, "%s", err.msg);
	struct lode_swarm_result all = result;
	memset(spec.without, 0xff, sizeof(spec.without));
	cr_assert_eq(lode_swarm_run(&spec, &result, &err), 0, "%s", err.msg);
	cr_assert_eq(result.n_faults, all.n_faults);
	for (unsigned k = 0; k < LODE_SWARM_N_KINDS; k++)
		cr_assert(k == LODE_SWARM_REKEY || result.kind_faults[k] == 0, "%s",
			lode_swarm_kind_name((enum lode_swarm_kind)k));
	uint64_t none = result.digest;
	spec.kinds = 1u << LODE_SWARM_REKEY;
	cr_assert_eq(lode_swarm_run(&spec, &result, &err), 0, "%s", err.msg);
	cr_assert_eq(result.digest, none);
}
