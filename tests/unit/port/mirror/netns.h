/* SPDX-License-Identifier: BSD-3-Clause */
/* Each test runs in a process of its own, so it may move into a network namespace of its own, which
 * disappears with it. */
#pragma once

#include <criterion/criterion.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static inline void enter_new_netns(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		cr_skip_test("no network namespace: run as root");
}

static inline void run(const char *command)
{
	int rc = system(command);
	cr_assert_eq(rc, 0, "%s: exit %d", command, rc);
}

/* Output of a command, at most size - 1 bytes. */
static inline void capture(const char *command, char *out, size_t size)
{
	FILE *f = popen(command, "r");
	out[fread(out, 1, size - 1, f)] = 0;
	pclose(f);
}
