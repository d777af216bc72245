/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_classify.h"

#include <ndpi_api.h>
#include <stdlib.h>

struct entry {
	uint64_t key;
	uint64_t used; /* counts looks; 0: free */
	unsigned n_pkts;
	struct ndpi_flow_struct *flow;
};

struct lode_classify {
	struct ndpi_detection_module_struct *ndpi;
	uint32_t n_entries; /* a power of two */
	struct entry *entries;
	uint64_t clock;
};

#define WAYS 8 /* places where a flow may be */

int lode_classify_new(uint32_t max_flows, struct lode_classify **out, struct lode_err *err)
{
	NDPI_PROTOCOL_BITMASK all;
	struct lode_classify *c = calloc(1, sizeof(*c));
	if (!c)
		return lode_err_set(err, -ENOMEM, "no memory for the classifier");
	c->n_entries = WAYS;
	while (c->n_entries < max_flows)
		c->n_entries *= 2;
	c->entries = calloc(c->n_entries, sizeof(*c->entries));
	c->ndpi = ndpi_init_detection_module(ndpi_no_prefs);
	if (!c->entries || !c->ndpi) {
		lode_classify_free(c);
		return lode_err_set(err, -ENOMEM, "nDPI does not start");
	}
	NDPI_BITMASK_SET_ALL(all);
	ndpi_set_protocol_detection_bitmask2(c->ndpi, &all);
	ndpi_finalize_initialization(c->ndpi);
	*out = c;
	return 0;
}

static void forget(struct entry *e)
{
	if (e->flow)
		ndpi_free_flow(e->flow);
	*e = (struct entry){0};
}

void lode_classify_free(struct lode_classify *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; c->entries && i < c->n_entries; i++)
		forget(&c->entries[i]);
	if (c->ndpi)
		ndpi_exit_detection_module(c->ndpi);
	free(c->entries);
	free(c);
}

/* What operators expect of a category; what says nothing of its needs is Web. */
static enum lode_class class_of(ndpi_protocol_category_t category)
{
	switch (category) {
	case NDPI_PROTOCOL_CATEGORY_VOIP:
		return LODE_VOIP;
	case NDPI_PROTOCOL_CATEGORY_GAME:
		return LODE_GAMING;
	case NDPI_PROTOCOL_CATEGORY_MEDIA:
	case NDPI_PROTOCOL_CATEGORY_STREAMING:
	case NDPI_PROTOCOL_CATEGORY_MUSIC:
	case NDPI_PROTOCOL_CATEGORY_VIDEO:
		return LODE_STREAMING;
	case NDPI_PROTOCOL_CATEGORY_DATA_TRANSFER:
	case NDPI_PROTOCOL_CATEGORY_DOWNLOAD_FT:
	case NDPI_PROTOCOL_CATEGORY_FILE_SHARING:
	case NDPI_PROTOCOL_CATEGORY_MAIL:
	case NDPI_PROTOCOL_CATEGORY_SW_UPDATE:
		return LODE_BULK;
	default:
		return LODE_WEB;
	}
}

unsigned lode_classify_n_apps(const struct lode_classify *c)
{
	return ndpi_get_num_supported_protocols(c->ndpi);
}

const char *lode_classify_app(const struct lode_classify *c, unsigned app, enum lode_class *cls)
{
	if (app == NDPI_PROTOCOL_UNKNOWN || app >= lode_classify_n_apps(c))
		return NULL;
	const ndpi_proto_defaults_t *d = &ndpi_get_proto_defaults(c->ndpi)[app];
	*cls = class_of(d->protoCategory);
	/* The category of RTP is media; what it carries is nearly always a conversation. */
	if (app == NDPI_PROTOCOL_RTP || app == NDPI_PROTOCOL_SIP || app == NDPI_PROTOCOL_STUN)
		*cls = LODE_VOIP;
	return d->protoName;
}

uint32_t lode_classify_payload(const uint8_t *p, uint32_t len)
{
	uint32_t l4, total, protocol, head;
	if (len < 1)
		return 0;
	if (p[0] >> 4 == 4 && len >= 20) {
		l4 = (p[0] & 15u) * 4;
		total = lode_load_be16(p + 2);
		protocol = p[9];
	} else if (p[0] >> 4 == 6 && len >= 40) {
		l4 = 40;
		total = 40u + lode_load_be16(p + 4);
		protocol = p[6];
	} else {
		return 0;
	}
	if (protocol == IPPROTO_UDP)
		head = 8;
	else if (protocol == IPPROTO_TCP && len >= l4 + 20)
		head = (p[l4 + 12] >> 4) * 4u;
	else
		return 0;
	total = LODE_MIN(total, len);
	return l4 >= 20 && total > l4 + head ? total - l4 - head : 0;
}

/* The flow's entry, or the place it gets: free, or that of the longest silent. */
static struct entry *find(struct lode_classify *c, uint64_t key)
{
	uint64_t at =
		key * 0x9e3779b97f4a7c15ull >> 20 & (c->n_entries - 1) & ~(uint64_t)(WAYS - 1);
	struct entry *oldest = &c->entries[at];
	for (unsigned i = 0; i < WAYS; i++) {
		struct entry *e = &c->entries[at + i];
		if (e->used && e->key == key)
			return e;
		if (e->used < oldest->used)
			oldest = e;
	}
	forget(oldest);
	oldest->key = key;
	oldest->flow = ndpi_flow_malloc(SIZEOF_FLOW_STRUCT);
	if (oldest->flow)
		memset(oldest->flow, 0, SIZEOF_FLOW_STRUCT);
	return oldest;
}

/* The inner protocol says more: HTTP is carried by TLS, YouTube by QUIC. */
static int app_of(const ndpi_protocol *p)
{
	if (p->app_protocol != NDPI_PROTOCOL_UNKNOWN)
		return p->app_protocol;
	return p->master_protocol != NDPI_PROTOCOL_UNKNOWN ? p->master_protocol : -1;
}

bool lode_classify_look(struct lode_classify *c, uint64_t key, const uint8_t *packet, uint16_t len,
	uint64_t time_ms, unsigned max_pkts, int *app)
{
	uint8_t guessed;
	struct entry *e = find(c, key);
	*app = -1;
	if (!e->flow)
		return false;
	e->used = ++c->clock;
	e->n_pkts += lode_classify_payload(packet, len) > 0;
	ndpi_protocol p = ndpi_detection_process_packet(c->ndpi, e->flow, packet, len, time_ms);
	*app = app_of(&p);
	/* TLS and QUIC tell more with the next packets: the name of the server. */
	bool carrier = *app == NDPI_PROTOCOL_TLS || *app == NDPI_PROTOCOL_QUIC;
	bool last = e->n_pkts >= max_pkts;
	if ((*app < 0 || carrier) && !last)
		return false;
	if (*app < 0) {
		p = ndpi_detection_giveup(c->ndpi, e->flow, 1, &guessed);
		*app = app_of(&p);
	}
	forget(e);
	return true;
}
