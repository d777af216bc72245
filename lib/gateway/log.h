/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines for the journal or a terminal, by module and level; a module that shouts is cut off for a while and
 * the loss said. Any thread. */
#pragma once

#include "lode_base.h"
#include "lode_config.h"

#include <pthread.h>
#include <stdio.h>

enum log_module { LOG_GATEWAY, LOG_CONTROL, LOG_PORT, LOG_KERNEL, LOG_DPDK, LOG_N_MODULES };
extern const char *const log_module_names[LOG_N_MODULES];
extern const char *const log_level_names[];

struct logger {
	pthread_mutex_t lock;
	_Atomic uint8_t level[LOG_N_MODULES]; /* enum lode_log_level */
	bool journal; /* stderr goes to the journal: it adds time and wants levels as <n> */
	struct {
		uint64_t window_ns;
		unsigned n, n_lost;
	} rate[LOG_N_MODULES];
};

void log_init(struct logger *l);
void log_set_level(struct logger *l, enum lode_log_level level); /* of all modules */
/* -EINVAL: no such module or level. "level" or "module level". */
int log_set_by_text(struct logger *l, const char *text, enum lode_log_level *level);
void log_line(struct logger *l, enum log_module module, enum lode_log_level level, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));
/* A stream whose lines become debug lines of module dpdk; NULL without memory. */
FILE *log_stream(struct logger *l);
