/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads Prometheus' text format 0.0.4 strictly, as a scraper would. */
#pragma once

#include <stddef.h>

/* Fails the test with the line that is wrong: names, labels, escapes, numbers; every sample below its own family,
 * no family and no series twice, buckets that never fall. Returns how many samples there are. */
size_t exposition_check(const char *text);
/* The value of a series written exactly so ("name{a=\"b\"}"), NaN when it is not there. */
double exposition_value(const char *text, const char *series);
