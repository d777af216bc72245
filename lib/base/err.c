/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_base.h"

#include <stdarg.h>
#include <stdio.h>

int lode_err_set(struct lode_err *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	va_list args;
	va_start(args, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	err->code = code;
	return code;
}

int lode_err_prefix(struct lode_err *err, const char *fmt, ...)
{
	if (!err)
		return -EINVAL;
	char old[sizeof(err->msg)];
	memcpy(old, err->msg, sizeof(old));
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(err->msg))
		snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", old);
	return err->code;
}
