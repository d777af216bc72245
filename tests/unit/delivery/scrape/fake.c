/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GREETING "{\"version\":\"DPDK test\",\"pid\":1,\"max_output_len\":16384}"

/* What is asked for by one peer must come with its name. */
static void answer(struct fake *f, const char *command, const char *param, char *text, size_t size)
{
	if (!strcmp(command, "/lodestone/status"))
		snprintf(text, size, "{\"%s\":{\"name\":\"a\",\"workers\":2}}", command);
	else if (!strcmp(command, "/lodestone/peers"))
		snprintf(text, size,
			"{\"%s\":{\"site_b\":{\"name\":\"site-b\"},\"site_c\":{\"name\":\"site-c\"}"
			"}}",
			command);
	else if (!strcmp(command, "/lodestone/paths"))
		snprintf(text, size,
			"{\"%s\":{\"%.4s_%c/fibre\":{\"state\":\"up\",\"rtt_us\":9,\"loss_ppm\":5,"
			"\"tx_bytes\":%d,\"rx_bytes\":0}}}",
			command, param, param[5], atomic_load(&f->tx_bytes));
	else if (!strcmp(command, "/lodestone/workers"))
		snprintf(text, size, "{\"%s\":{\"%s\":{\"flows\":3}}}", command, param);
	else if (!strcmp(command, "/lodestone/counters") && !strcmp(param, "worker"))
		snprintf(text, size, "{\"%s\":{\"lan_rx\":{\"help\":\"frames\"}}}", command);
	else
		snprintf(text, size, "{\"%s\":null}", command);
}

static bool answer_one(struct fake *f, int fd)
{
	char command[300], text[1000];
	ssize_t n = recv(fd, command, sizeof(command) - 1, 0);
	enum fake_mood mood = atomic_load(&f->mood);
	if (n <= 0 || mood == FAKE_CLOSES)
		return false;
	atomic_fetch_add(&f->questions, 1);
	command[n] = 0;
	char *comma = strchr(command, ',');
	if (comma)
		*comma = 0;
	answer(f, command, comma ? comma + 1 : "", text, sizeof(text));
	if (mood == FAKE_TALKS_RUBBISH)
		snprintf(text, sizeof(text), "[1, 2");
	if (mood != FAKE_SAYS_NOTHING)
		send(fd, text, strlen(text), MSG_NOSIGNAL);
	return true;
}

static void *serve(void *ctx)
{
	struct fake *f = ctx;
	int fd = -1;
	while (!atomic_load(&f->stop)) {
		struct pollfd p = {.fd = fd >= 0 ? fd : f->listener, .events = POLLIN};
		if (poll(&p, 1, 20) <= 0)
			continue;
		if (fd < 0) {
			fd = accept(f->listener, NULL, NULL);
			send(fd, GREETING, strlen(GREETING), MSG_NOSIGNAL);
			atomic_fetch_add(&f->greetings, 1);
		} else if (!answer_one(f, fd)) {
			close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

void fake_up(struct fake *f)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	*f = (struct fake){.dir = "/tmp/lodestone-test-XXXXXX"};
	cr_assert_not_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/telemetry", f->dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", f->path);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	cr_assert_eq(listen(f->listener, 4), 0);
	cr_assert_eq(pthread_create(&f->thread, NULL, serve, f), 0);
}

void fake_down(struct fake *f)
{
	atomic_store(&f->stop, true);
	pthread_join(f->thread, NULL);
	close(f->listener);
	unlink(f->path);
	rmdir(f->dir);
}
