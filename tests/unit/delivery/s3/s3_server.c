/* SPDX-License-Identifier: BSD-3-Clause */
#include "s3_server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_WAIT_MS 90000 /* the first time it is fetched */

static int local_socket(uint16_t port, bool listening)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = listening ? bind(fd, (struct sockaddr *)&addr, sizeof(addr))
			   : connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	if (!rc)
		return fd;
	close(fd);
	return -1;
}

static uint16_t free_port(void)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int fd = local_socket(0, true);
	cr_assert_geq(fd, 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

void s3_write_credentials(const char *path, const char *secret, unsigned mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	cr_assert_geq(fd, 0);
	dprintf(fd, "[default]\naws_access_key_id = S3RVER\naws_secret_access_key = %s\n", secret);
	close(fd);
}

/* The server must not hold the test runner's pipes. */
static void run_server(const struct s3_server *s, bool trouble)
{
	char script[400], data[80], port[8];
	const char *root = getenv("LODE_SOURCE_ROOT");
	snprintf(script, sizeof(script), "%s/tests/s3/server", root ? root : ".");
	snprintf(data, sizeof(data), "%s/data", s->dir);
	snprintf(port, sizeof(port), "%u", s->port);
	setpgid(0, 0);
	int null = open("/dev/null", O_RDWR);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	close_range(3, ~0u, 0);
	execl("/bin/bash", "bash", script, data, port, trouble ? "trouble" : NULL, (char *)NULL);
	_exit(127);
}

bool s3_server_start(struct s3_server *s, bool trouble)
{
	snprintf(s->dir, sizeof(s->dir), "/tmp/lodestone-test-XXXXXX");
	cr_assert_not_null(mkdtemp(s->dir));
	snprintf(s->credentials, sizeof(s->credentials), "%s/credentials", s->dir);
	s3_write_credentials(s->credentials, "S3RVER", 0600);
	s->port = free_port();
	snprintf(s->endpoint, sizeof(s->endpoint), "http://127.0.0.1:%u", s->port);
	s->pid = fork();
	if (!s->pid)
		run_server(s, trouble);
	for (unsigned i = 0; i < START_WAIT_MS / 50; i++) {
		int fd = local_socket(s->port, false), status;
		if (fd >= 0) {
			close(fd);
			return true;
		}
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 77,
				"the S3 server ends");
			return false;
		}
		usleep(50000);
	}
	cr_assert_fail("the S3 server does not listen");
	return false;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void s3_server_stop(struct s3_server *s)
{
	if (s->pid > 0) {
		kill(-s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	if (*s->dir)
		nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
