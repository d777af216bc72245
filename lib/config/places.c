/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_config.h"

#include <string.h>

static unsigned place_of(const struct lode_config *c, const uint8_t public_key[LODE_KEY_BYTES])
{
	unsigned i = 0;
	while (i < c->n_peers && memcmp(c->peers[i].public_key, public_key, LODE_KEY_BYTES))
		i++;
	return i;
}

static void swap(struct lode_config_peer *a, struct lode_config_peer *b)
{
	struct lode_config_peer kept = *a;
	*a = *b;
	*b = kept;
	explicit_bzero(&kept, sizeof(kept)); /* it holds a pre-shared key */
}

void lode_config_keep_places(const struct lode_config *from, struct lode_config *to)
{
	for (unsigned i = 0; i < LODE_MIN(from->n_peers, to->n_peers); i++) {
		unsigned at = place_of(to, from->peers[i].public_key);
		if (at != i && at < to->n_peers)
			swap(&to->peers[i], &to->peers[at]);
	}
}
