/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_base.h"

#include <arpa/inet.h>

int lode_ip_parse(const char *text, struct lode_ip *ip)
{
	struct in_addr v4;
	if (inet_pton(AF_INET, text, &v4) == 1) {
		*ip = lode_ip_from_v4_be(v4.s_addr);
		return 0;
	}
	return inet_pton(AF_INET6, text, ip->b) == 1 ? 0 : -EINVAL;
}

const char *lode_ip_format(const struct lode_ip *ip, char *text)
{
	if (lode_ip_is_v4(ip))
		return inet_ntop(AF_INET, ip->b + 12, text, INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, ip->b, text, INET6_ADDRSTRLEN);
}

bool lode_endpoint_equal(const struct lode_endpoint *a, const struct lode_endpoint *b)
{
	return a->port == b->port && !memcmp(&a->ip, &b->ip, sizeof(a->ip));
}
