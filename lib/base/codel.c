/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 8289 section 5, turned inside out: the caller owns the queue and asks per packet. */
#include "lode_base.h"

#include <math.h>

#define MTU_BYTES 1514 /* a backlog below one packet is no standing queue */

static uint64_t next_drop(uint64_t from_ns, uint64_t interval_ns, uint32_t count)
{
	return from_ns + (uint64_t)((double)interval_ns / sqrt((double)count));
}

/* True when the sojourn time has stayed above target for a whole interval. */
static bool above_for_interval(struct lode_codel *c, uint64_t now_ns, uint64_t sojourn_ns,
	uint64_t backlog_bytes, uint64_t target_ns, uint64_t interval_ns)
{
	if (sojourn_ns < target_ns || backlog_bytes <= MTU_BYTES) {
		c->first_above_ns = 0;
		return false;
	}
	if (c->first_above_ns == 0) {
		c->first_above_ns = now_ns + interval_ns;
		return false;
	}
	return now_ns >= c->first_above_ns;
}

bool lode_codel_drop(struct lode_codel *c, uint64_t now_ns, uint64_t sojourn_ns,
	uint64_t backlog_bytes, uint64_t target_ns, uint64_t interval_ns)
{
	bool above =
		above_for_interval(c, now_ns, sojourn_ns, backlog_bytes, target_ns, interval_ns);
	if (c->dropping) {
		if (!above) {
			c->dropping = false;
			return false;
		}
		if (now_ns < c->drop_next_ns)
			return false;
		c->count++;
		c->drop_next_ns = next_drop(c->drop_next_ns, interval_ns, c->count);
		return true;
	}
	if (!above)
		return false;
	/* Start again near the rate that controlled the queue last time, if that was recent. */
	uint32_t delta = c->count - c->last_count;
	bool recent = now_ns - c->drop_next_ns < 16 * interval_ns;
	c->dropping = true;
	c->count = delta > 1 && recent ? delta : 1;
	c->last_count = c->count;
	c->drop_next_ns = next_drop(now_ns, interval_ns, c->count);
	return true;
}
