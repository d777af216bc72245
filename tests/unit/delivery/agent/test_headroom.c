/* SPDX-License-Identifier: BSD-3-Clause */
/* What a gateway says of its paths, and what a transfer may take then. */
#include <criterion/criterion.h>

#include "lode_agent.h"
#include "lode_fetch.h"
#include "lode_ipc.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static struct {
	char socket[64];
	const char *answer;
	struct lode_ipc_server *server;
	pthread_t thread;
	atomic_bool stop;
} gateway;

static void on_request(void *ctx, struct lode_ipc_client *client,
	const struct lode_ipc_creds *creds, const char *body, size_t len, int fd)
{
	cr_assert_str_eq(body, "{\"command\":\"paths\"}");
	lode_ipc_reply(client, gateway.answer, strlen(gateway.answer));
}

static void *serve(void *ctx)
{
	while (!gateway.stop)
		lode_ipc_server_run(gateway.server, 10);
	return NULL;
}

static void up(void)
{
	struct lode_err err;
	snprintf(gateway.socket, sizeof(gateway.socket), "/tmp/lodestone-test-%d", (int)getpid());
	cr_assert_eq(
		lode_ipc_server_new(gateway.socket, 0600, on_request, NULL, &gateway.server, &err),
		0);
	pthread_create(&gateway.thread, NULL, serve, NULL);
}

static void down(void)
{
	gateway.stop = true;
	pthread_join(gateway.thread, NULL);
	lode_ipc_server_free(gateway.server);
}

TestSuite(headroom, .init = up, .fini = down, .timeout = 20);

static uint64_t spare_when(const char *answer)
{
	gateway.answer = answer;
	return lode_agent_spare(gateway.socket);
}

Test(headroom, what_paths_leave_may_be_taken)
{
	cr_assert_eq(spare_when("{\"result\":{\"b/x\":{\"share_kbps\":50000,\"pacing_kbps\":40000,"
				"\"tx_kbps\":1000,\"rx_kbps\":30000},\"b/y\":{\"share_kbps\":8000,"
				"\"pacing_kbps\":0,\"tx_kbps\":0,\"rx_kbps\":0}}}"),
		(10000 + 8000) * 125);
}

Test(headroom, a_busy_site_leaves_a_little)
{
	cr_assert_eq(spare_when("{\"result\":{\"b/x\":{\"share_kbps\":1000,\"pacing_kbps\":1000,"
				"\"tx_kbps\":2000,\"rx_kbps\":-5}}}"),
		64 * 125);
}

Test(headroom, an_answer_that_is_none_limits_nothing)
{
	cr_assert_eq(spare_when("{\"result\":{}}"), LODE_PACE_OPEN);
	cr_assert_eq(spare_when("{\"error\":\"no\",\"code\":1}"), LODE_PACE_OPEN);
	cr_assert_eq(spare_when("no JSON"), LODE_PACE_OPEN);
	cr_assert_eq(spare_when("{\"result\":[1]}"), LODE_PACE_OPEN);
	cr_assert_eq(lode_agent_spare("/does/not/exist"), LODE_PACE_OPEN);
}
