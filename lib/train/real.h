/* SPDX-License-Identifier: BSD-3-Clause */
/* The number that training computes with. The tests build this room a second time with double: then central
 * differences are exact enough to check every gradient. */
#pragma once

#ifdef LODE_TRAIN_DOUBLE
typedef double real;
#else
typedef float real;
#endif
