/* SPDX-License-Identifier: BSD-3-Clause */
/* What a run keeps in the caller's scratch and state. */
#pragma once

#include "packed.h"
#include "points.h"

#define MAX_ROWS 32 /* rows of a batch that are run together */
/* Bytes of one row of activations, with room to read and write past its end by a vector. */
#define ROW_BYTES(n) (ALIGN_UP((n), 64u) + 64u)

/* ---- MLP ---- */

#define MLP_ROW_BYTES ROW_BYTES(LODE_NN_MAX_HIDDEN)

struct mlp_scratch {
	uint8_t bytes[2][MAX_ROWS * MLP_ROW_BYTES];
	float head[LODE_NN_MAX_OUT];
};

/* ---- LSTM ---- */

struct lstm_state {
	float c[LODE_NN_MAX_LSTM];
	uint8_t h[LODE_NN_MAX_LSTM + 64];
};

struct lstm_scratch {
	struct lstm_state state;
	uint8_t h_next[LODE_NN_MAX_LSTM + 64];
	uint8_t in[ROW_BYTES(LODE_NN_MAX_LSTM)];
	float head[LODE_NN_MAX_OUT];
};

/* A series' start: cell and hidden state 0. */
static inline void lstm_reset(struct lstm_state *s)
{
	memset(s->c, 0, sizeof(s->c));
	memset(s->h, LSTM_H_ZERO, sizeof(s->h));
}

/* ---- transformer ---- */

/* State of a stream: keys and values behind it as attention reads them, in a ring of slots. */
struct stream_state {
	uint32_t next, n_seen; /* slot of the next step; steps seen, at most n_steps */
	uint8_t pad[56];
};

/* Places in the caller's scratch for one run; strides in bytes. */
struct transformer_scratch {
	uint8_t *in, *embed, *query, *key, *keys, *attn, *mid, *ff1, *final;
	int8_t *values;
	float *stream, *add, *head;
	float *columns, *fold_u, *fold_z; /* folded form */
	size_t row, dims, ff_row;	  /* bytes: d_model row, attention row, feed-forward row */
	size_t stream_row;		  /* floats */
};

/* Addresses as integers, so that sizes can be asked for without memory. */
static inline void *cut(uintptr_t *at, size_t bytes)
{
	uintptr_t p = *at;
	*at += ALIGN_UP(bytes, (size_t)64) + 64;
	return (void *)p;
}

static inline size_t transformer_places(
	const struct lode_nn_model *m, uint8_t *scratch, struct transformer_scratch *s)
{
	const struct packed_transformer *t = &m->tf;
	size_t steps = t->n_steps_4;
	uintptr_t at = (uintptr_t)scratch;
	s->row = 16u * t->dm_vecs;
	s->stream_row = s->row;
	s->dims = 16u * t->head_vecs * m->desc.n_heads;
	s->ff_row = 16u * m->linear[TF_FF1].n_vecs;
	s->in = cut(&at, steps * m->desc.n_in + 16);
	s->embed = cut(&at, steps * s->row);
	s->query = cut(&at, steps * s->dims);
	s->key = cut(&at, steps * s->dims);
	s->keys = cut(&at, s->dims * 16 * t->step_vecs);
	s->values = cut(&at, steps * s->dims);
	s->attn = cut(&at, steps * s->dims);
	s->mid = cut(&at, steps * s->row);
	s->ff1 = cut(&at, steps * s->ff_row);
	s->final = cut(&at, steps * s->row);
	s->stream = cut(&at, 4 * steps * s->row);
	s->add = cut(&at, 4 * steps * LODE_MAX(s->row, s->dims));
	s->head = cut(&at, 4 * LODE_NN_MAX_OUT);
	s->columns = cut(&at, 64ul * m->desc.n_in * t->step_vecs);
	s->fold_u = cut(&at, 64ul * t->fold_in_vecs);
	s->fold_z = cut(&at, 4ul * t->n_mixed + 64);
	return at - (uintptr_t)scratch;
}
