/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Many seeds, each a scenario of its own under random faults, each run twice. */
int swarm_command(int argc, char **argv);
