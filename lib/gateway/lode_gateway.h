/* SPDX-License-Identifier: BSD-3-Clause */
/* gateway: the running program around worker and control: EAL, ports, mirrors, lcore loops, threads, control
 * socket, telemetry. One gateway per process (EAL's rule); the thread that calls lode_gateway_run becomes
 * the control lcore and stays in it until a signal or an error ends the gateway. */
#pragma once

#include "lode_base.h"

/* Exit codes of the program. */
enum lode_exit {
	LODE_EXIT_OK,
	LODE_EXIT_OTHER,
	LODE_EXIT_CONFIG,      /* the configuration is wrong */
	LODE_EXIT_ENVIRONMENT, /* the machine lacks something: memory, CPUs, rights, files */
	LODE_EXIT_DEVICE,      /* a port cannot be opened */
};

struct lode_gateway_options {
	const char *config_path;
	/* Further EAL arguments, after our own; never needed. */
	char **eal_args;
	int n_eal_args;
};

/* Runs until SIGTERM or SIGINT. Everything that was changed in the kernel is put back before it returns. */
enum lode_exit lode_gateway_run(const struct lode_gateway_options *options);

/* Puts back what a killed gateway left changed in the kernel (ExecStopPost). */
enum lode_exit lode_gateway_restore(const char *config_path);
