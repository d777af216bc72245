/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_clock.h"

#include "lode_base.h"

#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * LODE_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t lode_clock_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t lode_clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}
