/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_sim.h"

#include <stdio.h>

int run_command(int argc, char **argv);
void run_usage(FILE *f);
