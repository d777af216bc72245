/* SPDX-License-Identifier: BSD-3-Clause */
/* One worker for all inputs of a fuzzer. Every so often it is taken down, and all packet buffers must be back. */
#pragma once

#include "../unit/worker/world.c"

#define INPUTS_OF_A_WORLD 20000

static struct world x;

static void drain(void)
{
	for (unsigned i = 0; i < LODE_ALL_PORTS; i++) {
		struct lode_txq *q[2] = {lode_worker_tx(x.w, i), lode_worker_mirror(x.w, i)};
		for (unsigned k = 0; k < 2; k++) {
			rte_pktmbuf_free_bulk(q[k]->mbufs, q[k]->n);
			q[k]->n = 0;
		}
	}
}

static void end_world(void)
{
	must(world_free(&x) == 0, "packet buffers were not given back");
}

static void fresh_world(void)
{
	static unsigned n;
	if (n++ % INPUTS_OF_A_WORLD)
		return;
	if (n == 1)
		atexit(end_world);
	else
		end_world();
	world_make(&x);
}
