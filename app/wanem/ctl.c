/* SPDX-License-Identifier: BSD-3-Clause */
/* Control socket: one request of words separated by newlines, one answer, per connection.
 *   set LINK SETTING...   stats   quit */
#include "wanem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_BYTES 4096
#define ANSWER_BYTES  65536
#define WORDS_MAX     64

static int make_address(const char *path, struct sockaddr_un *addr, struct lode_err *err)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr->sun_path))
		return lode_err_set(err, -ENAMETOOLONG, "%s: at most %zu bytes allowed", path,
			sizeof(addr->sun_path) - 1);
	strcpy(addr->sun_path, path);
	return 0;
}

int ctl_listen(struct wanem *w, struct lode_err *err)
{
	struct sockaddr_un addr;
	int rc = make_address(w->ctl_path, &addr, err);
	if (rc)
		return rc;
	unlink(w->ctl_path);
	mode_t mask = umask(0177);
	w->ctl_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool ok = w->ctl_fd >= 0 && bind(w->ctl_fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
		  listen(w->ctl_fd, 8) == 0;
	umask(mask);
	return ok ? 0 : lode_err_set(err, -errno, "%s: %s", w->ctl_path, strerror(errno));
}

static long answer(struct wanem *w, int n, char **words, char *buf, size_t size)
{
	struct lode_err err = {0};
	if (n == 1 && !strcmp(words[0], "stats"))
		return wanem_stats_json(w, buf, size);
	if (n == 1 && !strcmp(words[0], "quit")) {
		w->quit = true;
		return snprintf(buf, size, "ok");
	}
	if (n < 3 || strcmp(words[0], "set"))
		return snprintf(
			buf, size, "error: 'set LINK SETTING...', 'stats' or 'quit' expected");
	struct pair *p = pair_find(w, words[1]);
	if (!p)
		return snprintf(buf, size, "error: no link '%.40s'", words[1]);
	if (pair_change(p, words + 2, n - 2, &err))
		return snprintf(buf, size, "error: %s", err.msg);
	return snprintf(buf, size, "ok");
}

void ctl_serve(struct wanem *w)
{
	static const struct timeval patience = {.tv_usec = 50000};
	char request[REQUEST_BYTES], *words[WORDS_MAX], *save = NULL;
	int fd = accept4(w->ctl_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ssize_t len = recv(fd, request, sizeof(request) - 1, 0);
	char *buf = malloc(ANSWER_BYTES);
	if (len > 0 && buf) {
		request[len] = 0;
		int n = 0;
		for (char *word = strtok_r(request, "\n", &save); word && n < WORDS_MAX;
			word = strtok_r(NULL, "\n", &save))
			words[n++] = word;
		long out = answer(w, n, words, buf, ANSWER_BYTES);
		if (out > 0)
			send(fd, buf, (size_t)out, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	free(buf);
	close(fd);
}

int ctl_client(const char *path, int argc, char **argv)
{
	char request[REQUEST_BYTES];
	size_t len = 0;
	struct sockaddr_un addr;
	struct lode_err err;
	for (int i = 0; i < argc; i++) {
		int n = snprintf(request + len, sizeof(request) - len, "%s\n", argv[i]);
		if (n < 0 || (size_t)n >= sizeof(request) - len) {
			fprintf(stderr, "request of more than %d bytes\n", REQUEST_BYTES);
			return 1;
		}
		len += (size_t)n;
	}
	if (make_address(path, &addr, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char *buf = malloc(ANSWER_BYTES);
	ssize_t got = -1;
	if (buf && fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
		send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len)
		got = recv(fd, buf, ANSWER_BYTES, 0);
	if (got <= 0)
		fprintf(stderr, "%s: %s\n", path, got == 0 ? "no answer" : strerror(errno));
	else
		printf("%.*s\n", (int)got, buf);
	bool ok = got > 0 && strncmp(buf, "error", LODE_MIN((size_t)got, 5));
	close(fd);
	free(buf);
	return ok ? 0 : 1;
}
