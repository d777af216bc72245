/* SPDX-License-Identifier: BSD-3-Clause */
#include "steering.h"

#include <rte_flow.h>

#define RULES_MAX (2 * LODE_WORKERS_MAX)

/* The repeated 16-bit pattern makes Toeplitz symmetric in source and destination (Woo and Park,
 * "Scalable TCP session monitoring with symmetric receive-side scaling", 2012). Long enough for every
 * device; the configured length says how much is used. */
#define KEY_BYTES   64
#define EIGHT_BYTES "\x6d\x5a\x6d\x5a\x6d\x5a\x6d\x5a"
static const uint8_t symmetric_key[KEY_BYTES] = EIGHT_BYTES EIGHT_BYTES EIGHT_BYTES EIGHT_BYTES
	EIGHT_BYTES EIGHT_BYTES EIGHT_BYTES EIGHT_BYTES;

void steering_rss(
	const struct rte_eth_dev_info *info, struct lode_port *port, struct rte_eth_conf *conf)
{
	uint64_t hash =
		info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	if (!hash)
		return; /* a packet ring's own fan-out, or nothing */
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_hf = hash;
	if (info->hash_key_size && info->hash_key_size <= KEY_BYTES) {
		conf->rx_adv_conf.rss_conf.rss_key = (uint8_t *)(uintptr_t)symmetric_key;
		conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
	} else {
		port_note(port, "no RSS key can be set: the two directions of a flow may meet "
				"different workers, and are handed over");
	}
}

static struct rte_flow *add_rule(
	uint16_t ethdev, enum rte_flow_item_type family, uint16_t udp_port, uint16_t queue)
{
	const struct rte_flow_attr attr = {.ingress = 1};
	const struct rte_flow_item_udp spec = {.hdr.dst_port = rte_cpu_to_be_16(udp_port)};
	const struct rte_flow_item_udp mask = {.hdr.dst_port = RTE_BE16(0xffff)};
	const struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		{.type = family},
		{.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &spec, .mask = &mask},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	const struct rte_flow_action_queue to = {.index = queue};
	const struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to},
		{.type = RTE_FLOW_ACTION_TYPE_END},
	};
	struct rte_flow_error error;
	if (rte_flow_validate(ethdev, &attr, pattern, actions, &error))
		return NULL;
	return rte_flow_create(ethdev, &attr, pattern, actions, &error);
}

void steering_by_udp_port(const struct lode_port_params *pp, struct lode_port *port)
{
	static const enum rte_flow_item_type families[] = {
		RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_IPV6};
	struct rte_flow *rules[RULES_MAX];
	unsigned n = 0, wanted = 2u * port->n_rx_queues;
	if (pp->profile->steering == LODE_STEERING_UDP_PORT)
		for (; n < wanted; n++) {
			rules[n] = add_rule(port->ethdev, families[n % 2],
				(uint16_t)(pp->udp_port + n / 2), (uint16_t)(n / 2));
			if (!rules[n])
				break;
		}
	port->steered = n == wanted;
	if (port->steered)
		return;
	while (n)
		rte_flow_destroy(port->ethdev, rules[--n], NULL);
	port_note(port,
		"no steering by UDP port: datagrams that reach the wrong worker move over rings");
}
