/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of all keys: from it come the reader, the printer, the difference and the key list. */
#pragma once

#include "lode_config.h"

enum field_type {
	F_STRING, /* size: bytes of the buffer */
	F_UINT,	  /* size: 1, 2 or 4 bytes; scale */
	F_INT,	  /* the same, signed; word: the text that stands for -1 */
	F_DOUBLE,
	F_BOOL,
	F_ENUM, /* words: names in order */
	F_IP,
	F_PREFIX,
	F_ENDPOINT, /* address:port, [v6]:port */
	F_KEY,	    /* 32 bytes in base64 */
	F_PORT_REF, /* name of a port -> index */
	F_PEER_REF, /* name of a peer -> index; word stands for -1 */
	F_RANGE,    /* "any", "n" or "lo-hi" -> two uint16_t */
	F_PROTOCOL, /* any, tcp, udp, icmp, icmp6 or a number */
	F_GROUP,    /* sub: keys of a nested mapping in the same struct */
	F_LIST,	    /* sub: keys of each item (a mapping), or one nameless row (a scalar) */
};

struct field {
	const char *key;
	enum field_type type;
	size_t offset;	 /* in the struct of the mapping that holds the key */
	size_t size;	 /* of a scalar; of one item for a list */
	const char *def; /* text of the default; NULL: the key must be there */
	const char *unit, *help;
	enum lode_reload reload;
	double min, max;	  /* in the unit of the YAML text */
	double scale;		  /* stored = text * scale; 0 means 1 */
	const char *word;	  /* a word allowed instead of a number */
	const char *const *words; /* NULL-ended */
	const struct field *sub;  /* ends with key NULL and type F_STRING, size 0 */
	size_t count_offset;	  /* of the uint8_t or uint16_t that counts a list's items */
	size_t count_size;
	unsigned max_items;
	bool needs_length; /* F_PREFIX: a lone address is not enough */
};

extern const struct field config_schema[];
#define FIELD_END                      \
	{                              \
		.key = NULL, .size = 0 \
	}
static inline bool field_is_end(const struct field *f)
{
	return !f->key && f->size == 0;
}

/* IP protocols that have a name here; ends with NULL. */
struct protocol_name {
	const char *name;
	uint8_t number;
};
extern const struct protocol_name protocol_names[];

/* Text of a scalar -> memory. On failure returns -EINVAL with what is allowed in `allowed`. */
int scalar_parse(const struct field *f, const struct lode_config *c, const char *text, void *to,
	char *allowed, size_t allowed_size);
/* Memory -> text that scalar_parse reads back. */
void scalar_print(const struct field *f, const struct lode_config *c, const void *from, char *text,
	size_t size);
/* What the field allows, for messages and the key list. */
void scalar_allowed(const struct field *f, char *text, size_t size);

/* Rules that span several keys. */
int config_cross_check(struct lode_config *c, const char *name, struct lode_err *err);

static inline unsigned list_count(const struct field *f, const void *base)
{
	const uint8_t *at = (const uint8_t *)base + f->count_offset;
	return f->count_size == 1 ? *at : *(const uint16_t *)(const void *)at;
}
