/* SPDX-License-Identifier: BSD-3-Clause */
/* How received packets find the queue of their worker. */
#pragma once

#include "lode_port.h"

#include <rte_ethdev.h>

/* Adds a sentence to port->notes. */
void port_note(struct lode_port *port, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Spreads by a symmetric hash, so that both directions of a flow meet on one worker. */
void steering_rss(
	const struct rte_eth_dev_info *info, struct lode_port *port, struct rte_eth_conf *conf);
/* One rte_flow rule per worker and family: UDP destination port -> its queue. All or none. */
void steering_by_udp_port(const struct lode_port_params *pp, struct lode_port *port);
