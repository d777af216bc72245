/* SPDX-License-Identifier: BSD-3-Clause */
/* base/clock: the machine's clocks, for programs and for the rooms that wait in real time (they name base/clock among
 * their deps). Everything else gets the time as a parameter. Any thread. */
#pragma once

#include <stdint.h>

/* Nanoseconds since some moment before the program began; never goes back. */
uint64_t lode_clock_ns(void);
/* Nanoseconds since 1970, UTC; may be set while the program runs. */
uint64_t lode_clock_wall_ns(void);
