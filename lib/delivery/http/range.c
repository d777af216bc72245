/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_http.h"

#include <stdlib.h>

#define DIGITS_MAX 18 /* below 2^63 */

/* Plain digits; returns their number, 0 when there are none or too many. */
static size_t number(const char *s, uint64_t *v)
{
	size_t n = strspn(s, "0123456789");
	*v = n && n <= DIGITS_MAX ? strtoull(s, NULL, 10) : 0;
	return n <= DIGITS_MAX ? n : 0;
}

enum lode_range lode_http_range(
	const char *header, uint64_t size_bytes, uint64_t *first, uint64_t *length)
{
	uint64_t a = 0, b = 0;
	*first = 0;
	*length = size_bytes;
	if (!header || strncmp(header, "bytes=", 6) != 0)
		return LODE_RANGE_ALL;
	const char *p = header + 6;
	size_t n_a = number(p, &a);
	p += n_a;
	if (*p++ != '-')
		return LODE_RANGE_ALL;
	size_t n_b = number(p, &b);
	if (p[n_b] || (!n_a && !n_b) || (n_a && n_b && b < a))
		return LODE_RANGE_ALL;
	if (!n_a) { /* the last b bytes */
		if (!b || !size_bytes)
			return LODE_RANGE_BAD;
		*length = LODE_MIN(b, size_bytes);
		*first = size_bytes - *length;
		return LODE_RANGE_PART;
	}
	if (a >= size_bytes)
		return LODE_RANGE_BAD;
	*first = a;
	*length = (n_b ? LODE_MIN(b, size_bytes - 1) : size_bytes - 1) - a + 1;
	return LODE_RANGE_PART;
}
