/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_ipc.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void put_frame(uint8_t *buf, size_t *len, const char *body)
{
	lode_store_be32(buf + *len, (uint32_t)strlen(body));
	memcpy(buf + *len + 4, body, strlen(body));
	*len += 4 + strlen(body);
}

Test(frame, any_cut_of_the_stream_gives_the_same_frames)
{
	static const char *const bodies[] = {"{}", "", "{\"a\":1}", "x"};
	uint8_t stream[64];
	size_t len = 0;
	for (size_t i = 0; i < LODE_ARRAY_LEN(bodies); i++)
		put_frame(stream, &len, bodies[i]);
	for (size_t step = 1; step <= len; step++) {
		struct lode_ipc_decoder d;
		lode_ipc_decoder_init(&d, 16);
		size_t seen = 0;
		for (size_t at = 0; at < len; at += step) {
			cr_assert_eq(
				lode_ipc_decoder_push(&d, stream + at, LODE_MIN(step, len - at)),
				0);
			const char *body;
			long n;
			while ((n = lode_ipc_decoder_next(&d, &body)) >= 0) {
				cr_assert_eq((size_t)n, strlen(bodies[seen]));
				cr_assert_str_eq(body, bodies[seen]);
				seen++;
			}
			cr_assert_eq(n, -EAGAIN);
		}
		cr_assert_eq(seen, LODE_ARRAY_LEN(bodies));
		lode_ipc_decoder_fini(&d);
	}
}

Test(frame, a_length_above_the_limit_is_refused_by_its_header)
{
	struct lode_ipc_decoder d;
	lode_ipc_decoder_init(&d, 100);
	cr_assert_eq(lode_ipc_decoder_push(&d, "\0\0\0\x64", 4), 0);
	lode_ipc_decoder_fini(&d);
	cr_assert_eq(lode_ipc_decoder_push(&d, "\0\0\0\x65", 4), -EMSGSIZE);
	const char *body;
	cr_assert_eq(lode_ipc_decoder_next(&d, &body), -EMSGSIZE);
	cr_assert_leq(d.size, 8192);
	lode_ipc_decoder_fini(&d);
}

struct echo {
	struct lode_ipc_server *server;
	char path[64];
	_Atomic bool stop;
	struct lode_ipc_creds creds;
};

static void echo_handler(void *ctx, struct lode_ipc_client *client,
	const struct lode_ipc_creds *creds, const char *body, size_t len, int fd)
{
	struct echo *e = ctx;
	e->creds = *creds;
	const void *bytes;
	size_t n;
	if (fd >= 0 && lode_ipc_memfd_map(fd, 1 << 20, &bytes, &n, NULL) == 0) {
		lode_ipc_reply(client, bytes, n);
		munmap((void *)(uintptr_t)bytes, n);
	} else {
		lode_ipc_reply(client, body, len);
	}
}

static void *echo_thread(void *arg)
{
	struct echo *e = arg;
	while (!atomic_load(&e->stop))
		lode_ipc_server_run(e->server, 10);
	return NULL;
}

static pthread_t echo_start(struct echo *e)
{
	struct lode_err err = {0};
	pthread_t thread;
	snprintf(e->path, sizeof(e->path), "/tmp/lode-ipc-%d.sock", (int)getpid());
	atomic_store(&e->stop, false);
	cr_assert_eq(lode_ipc_server_new(e->path, 0600, echo_handler, e, &e->server, &err), 0, "%s",
		err.msg);
	pthread_create(&thread, NULL, echo_thread, e);
	return thread;
}

static void echo_stop(struct echo *e, pthread_t thread)
{
	atomic_store(&e->stop, true);
	pthread_join(thread, NULL);
	lode_ipc_server_free(e->server);
}

Test(server, echoes_small_and_large_and_knows_who_asks)
{
	struct echo e;
	pthread_t thread = echo_start(&e);
	struct lode_err err = {0};
	int sock = lode_ipc_connect(e.path, &err);
	cr_assert_geq(sock, 0, "%s", err.msg);
	for (size_t len = 0; len <= LODE_IPC_FRAME_MAX; len = len ? len * 32 : 1) {
		char *text = malloc(len + 1), *reply;
		memset(text, 'a', len);
		cr_assert_eq(lode_ipc_call(sock, text, len, -1, 5000, &reply, &err), (long)len,
			"%s", err.msg);
		cr_assert_eq(memcmp(text, reply, len), 0);
		free(text);
		free(reply);
	}
	cr_assert_eq(e.creds.pid, getpid());
	cr_assert_eq(e.creds.uid, getuid());
	close(sock);
	echo_stop(&e, thread);
	cr_assert_neq(access(e.path, F_OK), 0);
}

Test(server, an_oversized_header_closes_only_that_client)
{
	struct echo e;
	pthread_t thread = echo_start(&e);
	int bad = lode_ipc_connect(e.path, NULL), good = lode_ipc_connect(e.path, NULL);
	char *reply, byte;
	cr_assert_eq(write(bad, "\xff\xff\xff\xff", 4), 4);
	cr_assert_eq(read(bad, &byte, 1), 0);
	cr_assert_eq(lode_ipc_call(good, "hi", 2, -1, 5000, &reply, NULL), 2);
	free(reply);
	close(bad);
	close(good);
	echo_stop(&e, thread);
}

Test(server, a_second_server_on_the_same_path_is_refused)
{
	struct echo e;
	pthread_t thread = echo_start(&e);
	struct lode_ipc_server *second;
	struct lode_err err;
	cr_assert_eq(
		lode_ipc_server_new(e.path, 0600, echo_handler, &e, &second, &err), -EADDRINUSE);
	cr_assert_eq(access(e.path, F_OK), 0);
	echo_stop(&e, thread);
}

Test(memfd, travels_sealed_and_is_mapped)
{
	struct echo e;
	pthread_t thread = echo_start(&e);
	struct lode_err err = {0};
	int sock = lode_ipc_connect(e.path, &err);
	int fd = lode_ipc_memfd_new("model", "weights", 7, &err);
	char *reply;
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, "x", 1), -1, "a sealed memfd took a write");
	cr_assert_eq(lode_ipc_call(sock, "{}", 2, fd, 5000, &reply, &err), 7, "%s", err.msg);
	cr_assert_str_eq(reply, "weights");
	free(reply);
	close(fd);
	close(sock);
	echo_stop(&e, thread);
}

Test(memfd, unsealed_oversized_and_plain_files_are_refused)
{
	struct lode_err err;
	const void *bytes;
	size_t len;
	int open_fd = memfd_create("open", MFD_ALLOW_SEALING);
	cr_assert_eq(write(open_fd, "x", 1), 1);
	cr_assert_eq(lode_ipc_memfd_map(open_fd, 10, &bytes, &len, &err), -EPERM);
	int big = lode_ipc_memfd_new("big", "0123456789", 10, &err);
	cr_assert_eq(lode_ipc_memfd_map(big, 9, &bytes, &len, &err), -EFBIG);
	int file = open("/dev/zero", O_RDONLY);
	cr_assert_eq(lode_ipc_memfd_map(file, 10, &bytes, &len, &err), -EINVAL);
	close(open_fd);
	close(big);
	close(file);
}
