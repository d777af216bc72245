/* SPDX-License-Identifier: BSD-3-Clause */
/* A dpdk-telemetry server on a socket of the test's own. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

enum fake_mood { FAKE_FINE, FAKE_CLOSES, FAKE_TALKS_RUBBISH, FAKE_SAYS_NOTHING };

struct fake {
	char dir[64], path[100];
	int listener;
	pthread_t thread;
	_Atomic enum fake_mood mood;
	atomic_int questions, greetings, tx_bytes;
	atomic_bool stop;
};

void fake_up(struct fake *f);
void fake_down(struct fake *f);
