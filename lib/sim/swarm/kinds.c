/* SPDX-License-Identifier: BSD-3-Clause */
/* Which kinds of faults there are, and how often each comes up. */
#include "swarm.h"

static const char *const kind_names[] = {
	[LODE_SWARM_LOSS] = "loss",
	[LODE_SWARM_BURST] = "burst",
	[LODE_SWARM_REORDER] = "reorder",
	[LODE_SWARM_DUPLICATE] = "duplicate",
	[LODE_SWARM_CORRUPT] = "corrupt",
	[LODE_SWARM_LINK] = "link",
	[LODE_SWARM_FLAP] = "flap",
	[LODE_SWARM_REMARK] = "remark",
	[LODE_SWARM_MTU] = "mtu",
	[LODE_SWARM_NAT] = "nat",
	[LODE_SWARM_CGNAT] = "cgnat",
	[LODE_SWARM_RESTART] = "restart",
	[LODE_SWARM_REKEY] = "rekey",
	[LODE_SWARM_CLOCK] = "clock",
	[LODE_SWARM_STALL] = "stall",
	[LODE_SWARM_CARRIER] = "carrier",
	[LODE_SWARM_LOAD] = "load",
	[LODE_SWARM_POOL] = "pool",
	[LODE_SWARM_REFUSAL] = "refusal",
	[LODE_SWARM_HOSTILE] = "hostile",
	[LODE_SWARM_FLOOD] = "flood",
	[LODE_SWARM_GARBAGE] = "garbage",
	[LODE_SWARM_STRAY] = "stray",
	[LODE_SWARM_RECONFIGURE] = "reconfigure",
	[LODE_SWARM_DISMISS] = "dismiss",
	[LODE_SWARM_MODEL] = "model",
};
static_assert(LODE_ARRAY_LEN(kind_names) == LODE_SWARM_N_KINDS, "every kind has a name");

const char *lode_swarm_kind_name(enum lode_swarm_kind kind)
{
	return kind_names[kind];
}

/* How often each kind comes up; those that stop all traffic come seldom. Rekeying is not an event. */
static const uint8_t weights[LODE_SWARM_N_KINDS] = {
	[LODE_SWARM_LOSS] = 6,
	[LODE_SWARM_BURST] = 6,
	[LODE_SWARM_REORDER] = 6,
	[LODE_SWARM_DUPLICATE] = 5,
	[LODE_SWARM_CORRUPT] = 5,
	[LODE_SWARM_LINK] = 6,
	[LODE_SWARM_FLAP] = 8,
	[LODE_SWARM_REMARK] = 5,
	[LODE_SWARM_MTU] = 4,
	[LODE_SWARM_NAT] = 4,
	[LODE_SWARM_CGNAT] = 3,
	[LODE_SWARM_RESTART] = 1,
	[LODE_SWARM_CLOCK] = 3,
	[LODE_SWARM_STALL] = 5,
	[LODE_SWARM_CARRIER] = 4,
	[LODE_SWARM_LOAD] = 4,
	[LODE_SWARM_POOL] = 3,
	[LODE_SWARM_REFUSAL] = 4,
	[LODE_SWARM_HOSTILE] = 6,
	[LODE_SWARM_FLOOD] = 2,
	[LODE_SWARM_GARBAGE] = 3,
	[LODE_SWARM_STRAY] = 5,
	[LODE_SWARM_RECONFIGURE] = 5,
	[LODE_SWARM_DISMISS] = 2,
	[LODE_SWARM_MODEL] = 3,
};

enum lode_swarm_kind kind_draw(struct lode_rng *rng)
{
	unsigned sum = 0;
	for (unsigned k = 0; k < LODE_SWARM_N_KINDS; k++)
		sum += weights[k];
	unsigned at = below(rng, sum), k = 0;
	while (at >= weights[k])
		at -= weights[k++];
	return (enum lode_swarm_kind)k;
}

bool kind_is_of_gateway(enum lode_swarm_kind kind)
{
	static const uint32_t kinds = 1u << LODE_SWARM_RESTART | 1u << LODE_SWARM_CLOCK |
				      1u << LODE_SWARM_STALL | 1u << LODE_SWARM_CARRIER |
				      1u << LODE_SWARM_POOL | 1u << LODE_SWARM_REFUSAL |
				      1u << LODE_SWARM_RECONFIGURE | 1u << LODE_SWARM_DISMISS;
	return kinds >> kind & 1;
}
