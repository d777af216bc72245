/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines for the journal or a terminal, by module and level. Lines of one shape (the same but for numbers) are
 * limited, and so is a module as a whole; how many were left out is said. A level that an operator sets at run
 * time stays until it is given back. Any thread. */
#pragma once

#include "lode_base.h"
#include "lode_config.h"

#include <pthread.h>
#include <stdio.h>

enum log_module { LOG_GATEWAY, LOG_CONTROL, LOG_PORT, LOG_KERNEL, LOG_DPDK, LOG_N_MODULES };
extern const char *const log_module_names[LOG_N_MODULES];
extern const char *const log_level_names[];

#define LOG_SHAPES 64 /* followed at once */

/* Lines in one window of time. */
struct log_window {
	uint64_t since_ns;
	unsigned n, n_left_out;
};

struct logger {
	pthread_mutex_t lock;
	_Atomic uint8_t level[LOG_N_MODULES]; /* enum lode_log_level */
	bool journal; /* stderr goes to the journal: it adds time and wants levels as <n> */
	/* Under the lock. */
	enum lode_log_level configured;
	struct log_module_state {
		bool by_operator; /* its level */
		struct log_window window;
		uint64_t n_lines, n_left_out; /* ever */
	} module[LOG_N_MODULES];
	struct log_shape {
		uint64_t hash;
		enum log_module module;
		struct log_window window;
		char example[80];
	} shapes[LOG_SHAPES];
};

void log_init(struct logger *l);
/* The configuration's level: of all modules but those that an operator set. */
void log_configure(struct logger *l, enum lode_log_level level);
/* "LEVEL", "MODULE LEVEL"; "default" in place of a level gives it back to the configuration. -EINVAL: no such
 * module or level. */
int log_set_by_text(struct logger *l, const char *text);
/* Says what was left out in windows that have passed; now and then. */
void log_flush(struct logger *l);
/* An object per module: level, who set it, lines written and left out. */
void log_show(struct logger *l, struct lode_json *j);
void log_line(struct logger *l, enum log_module module, enum lode_log_level level, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));
/* A stream whose lines become debug lines of module dpdk; NULL without memory. */
FILE *log_stream(struct logger *l);
