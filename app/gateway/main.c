/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-gateway: the fast path. Options only; lib/gateway does the rest. */
#include "../asked.h"
#include "lode_gateway.h"

#include <getopt.h>
#include <stdio.h>

#define DEFAULT_CONFIG "/etc/lodestone/lodestone.yaml"

static const char usage[] =
	"usage: lodestone-gateway [-c FILE] [--restore] [-- EAL-ARGUMENT...]\n"
	"  -c, --config FILE  configuration (default " DEFAULT_CONFIG ")\n"
	"      --restore      put back what a killed gateway changed in the kernel, then end\n"
	"  -h, --help         this text; --version\n"
	"exit codes: 0 ok, 1 other, 2 configuration, 3 environment, 4 device\n";

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"config", required_argument, NULL, 'c'},
		{"restore", no_argument, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	if (answer_asked(argc, argv, "lodestone-gateway", usage))
		return LODE_EXIT_OK;
	struct lode_gateway_options options = {.config_path = DEFAULT_CONFIG};
	bool restore = false;
	for (int c; (c = getopt_long(argc, argv, "c:", long_options, NULL)) != -1;) {
		if (c == 'c') {
			options.config_path = optarg;
		} else if (c == 'r') {
			restore = true;
		} else {
			fputs(usage, stderr);
			return LODE_EXIT_OTHER;
		}
	}
	options.eal_args = argv + optind;
	options.n_eal_args = argc - optind;
	return restore ? (int)lode_gateway_restore(options.config_path)
		       : (int)lode_gateway_run(&options);
}
