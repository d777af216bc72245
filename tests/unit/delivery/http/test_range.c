/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_http.h"

Test(range, as_rfc_9110_has_it)
{
	static const struct {
		const char *header;
		enum lode_range kind;
		uint64_t first, length;
	} rows[] = {
		{NULL, LODE_RANGE_ALL, 0, 1000},
		{"bytes=0-0", LODE_RANGE_PART, 0, 1},
		{"bytes=500-", LODE_RANGE_PART, 500, 500},
		{"bytes=-300", LODE_RANGE_PART, 700, 300},
		{"bytes=-2000", LODE_RANGE_PART, 0, 1000},
		{"bytes=990-2000", LODE_RANGE_PART, 990, 10},
		{"bytes=1000-", LODE_RANGE_BAD, 0, 0},
		{"bytes=-0", LODE_RANGE_BAD, 0, 0},
		{"bytes=5-4", LODE_RANGE_ALL, 0, 1000},
		{"bytes=0-1,5-6", LODE_RANGE_ALL, 0, 1000},
		{"bytes=", LODE_RANGE_ALL, 0, 1000},
		{"bytes=-", LODE_RANGE_ALL, 0, 1000},
		{"lines=0-1", LODE_RANGE_ALL, 0, 1000},
		{"bytes=99999999999999999999999-", LODE_RANGE_ALL, 0, 1000},
		{"bytes=0-99999999999999999999999", LODE_RANGE_ALL, 0, 1000},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(rows); i++) {
		uint64_t first, length;
		cr_assert_eq(lode_http_range(rows[i].header, 1000, &first, &length), rows[i].kind,
			"%s", rows[i].header);
		if (rows[i].kind == LODE_RANGE_BAD)
			continue;
		cr_assert_eq(first, rows[i].first, "%s", rows[i].header);
		cr_assert_eq(length, rows[i].length, "%s", rows[i].header);
	}
	uint64_t first, length;
	cr_assert_eq(lode_http_range("bytes=-1", 0, &first, &length), LODE_RANGE_BAD);
}
