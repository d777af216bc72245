/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[32];

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lode-file-XXXXXX");
	cr_assert(mkdtemp(dir) && !chdir(dir));
}

static void end(void)
{
	unlink("a");
	cr_expect_eq(chdir("/"), 0);
	cr_expect_eq(rmdir(dir), 0, "something was left in %s", dir);
}

TestSuite(file, .init = begin, .fini = end);

static void expect_text(const char *text)
{
	char buf[64] = "";
	int fd = open("a", O_RDONLY);
	cr_assert_geq(read(fd, buf, sizeof(buf) - 1), 0);
	close(fd);
	cr_expect_str_eq(buf, text);
}

Test(file, is_made_and_replaced)
{
	char path[48];
	struct stat st;
	struct lode_err err;
	cr_assert_eq(lode_file_replace("a", 0600, "one", 3, &err), 0, "%s", err.msg);
	expect_text("one");
	cr_assert_eq(stat("a", &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
	snprintf(path, sizeof(path), "%s/a", dir);
	cr_assert_eq(lode_file_replace(path, 0600, "two", 3, &err), 0, "%s", err.msg);
	expect_text("two");
}

Test(file, stays_as_it_was_when_the_disk_is_full)
{
	struct lode_err err;
	struct rlimit limit = {4, 4};
	cr_assert_eq(lode_file_replace("a", 0600, "old", 3, &err), 0, "%s", err.msg);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	cr_expect_eq(lode_file_replace("a", 0600, "longer than that", 16, &err), -EFBIG);
	cr_expect(strstr(err.msg, "a: File too large"), "%s", err.msg);
	expect_text("old");
}

Test(file, without_a_folder_is_refused)
{
	struct lode_err err;
	cr_expect_eq(lode_file_replace("none/a", 0600, "x", 1, &err), -ENOENT);
	cr_expect(strstr(err.msg, "none/a"), "%s", err.msg);
}
