/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's routes to the peers' networks over lode0, so that the box answers whoever pings its LAN address
 * from afar, and reaches the other sites itself. They follow the configuration. Exception thread. */
#include "gateway.h"

#include <stdlib.h>

#define METRIC	   (MIRROR_METRIC + LODE_HOST_PORT)
#define ROUTES_MAX (LODE_PEERS_MAX * LODE_PREFIXES_MAX)

struct host_routes {
	uint64_t applied; /* serial of the configuration they are of */
	unsigned n;
	struct lode_prefix prefixes[ROUTES_MAX];
};

int start_host_routes(struct gateway *g, struct lode_err *err)
{
	g->host_routes = calloc(1, sizeof(*g->host_routes));
	return g->host_routes ? 0 : lode_err_set(err, -ENOMEM, "no memory");
}

/* The routes leave with lode0. */
void stop_host_routes(struct gateway *g)
{
	free(g->host_routes);
}

static unsigned collect(const struct lode_config *c, struct lode_prefix *out)
{
	unsigned n = 0;
	for (unsigned i = 0; i < c->n_peers; i++)
		for (unsigned k = 0; k < c->peers[i].n_prefixes; k++) {
			const struct lode_prefix *p = &c->peers[i].prefixes[k];
			/* The box's own default route is the operator's business. */
			if (p->len > (lode_ip_is_v4(&p->ip) ? 96 : 0))
				out[n++] = *p;
		}
	return n;
}

static bool contains(const struct lode_prefix *list, unsigned n, const struct lode_prefix *p)
{
	for (unsigned i = 0; i < n; i++)
		if (!memcmp(&list[i], p, sizeof(*p)))
			return true;
	return false;
}

static void change(struct gateway *g, const struct lode_prefix *wanted, unsigned n)
{
	static const struct lode_ip on_link = {0};
	struct host_routes *r = g->host_routes;
	int ifindex = g->mirrors[LODE_HOST_PORT].tap.ifindex;
	for (unsigned i = 0; i < r->n; i++)
		if (!contains(wanted, n, &r->prefixes[i]))
			lode_netlink_del_route(g->netlink, ifindex, &r->prefixes[i], METRIC);
	for (unsigned i = 0; i < n; i++) {
		char text[INET6_ADDRSTRLEN];
		int rc = contains(r->prefixes, r->n, &wanted[i])
				 ? 0
				 : lode_netlink_add_route(
					   g->netlink, ifindex, &wanted[i], &on_link, METRIC);
		if (rc)
			log_line(&g->log, LOG_KERNEL, LODE_LOG_WARN,
				"lode0: no route to %s (%s): the box cannot answer from there",
				lode_ip_format(&wanted[i].ip, text), strerror(-rc));
	}
	memcpy(r->prefixes, wanted, n * sizeof(wanted[0]));
	r->n = n;
}

void host_routes_run(struct gateway *g)
{
	struct host_routes *r = g->host_routes;
	uint64_t serial = atomic_load(&g->config_serial);
	if (r->applied == serial || g->mirrors[LODE_HOST_PORT].tap.fd < 0)
		return;
	struct lode_prefix *wanted = calloc(ROUTES_MAX, sizeof(*wanted));
	if (!wanted)
		return; /* later */
	pthread_mutex_lock(&g->lock);
	unsigned n = collect(lode_control_config(g->control), wanted);
	pthread_mutex_unlock(&g->lock);
	change(g, wanted, n);
	r->applied = serial;
	free(wanted);
}
