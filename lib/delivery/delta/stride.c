/* SPDX-License-Identifier: BSD-3-Clause */
#include "stride.h"

#define CHUNK_MIN    512
#define CHUNKS_MAX   65536
#define RUN_MIN	     1024
#define CHANGE_COST  0.35f /* of a state, in chunks of perfect agreement */
#define NONE_SCORE   0.2f
#define SAMPLE_BYTES 4096 /* of a chunk that are looked at */

/* What a chunk may be: nothing known, 32-bit floats at a phase, 16-bit floats at a phase. */
enum { STATE_NONE, STATE_32, STATE_16 = STATE_32 + 4, N_STATES = STATE_16 + 2 };

/* Share of equal bytes per position modulo 4: sign and exponent of a fine-tuned weight mostly stay, its
 * low bits never do. */
static void equal_shares(const uint8_t *a, const uint8_t *b, uint64_t at, uint64_t n, float *share)
{
	uint32_t equal[4] = {0};
	n = LODE_MIN(n, (uint64_t)SAMPLE_BYTES) & ~3ull;
	for (uint64_t i = 0; i < n; i++)
		equal[(at + i) & 3] += a[i] == b[i];
	for (unsigned k = 0; k < 4; k++)
		share[k] = (float)equal[k] * 4 / (float)LODE_MAX(n, 4u);
}

static void score_chunk(const float *share, float *score)
{
	score[STATE_NONE] = NONE_SCORE;
	for (unsigned phase = 0; phase < 4; phase++) {
		float low = share[phase], second = share[(phase + 1) & 3];
		score[STATE_32 + phase] = share[(phase + 3) & 3] - LODE_MAX(low, second);
	}
	for (unsigned phase = 0; phase < 2; phase++)
		score[STATE_16 + phase] = (share[phase ^ 1] + share[(phase ^ 1) + 2] -
						  share[phase] - share[phase + 2]) /
					  2;
}

/* One step of the Viterbi search: best way into each state, staying or changing. */
static void extend(float *best, const float *score, uint8_t *from)
{
	unsigned top = 0;
	float before[N_STATES];
	memcpy(before, best, sizeof(before));
	for (unsigned s = 1; s < N_STATES; s++)
		if (before[s] > before[top])
			top = s;
	for (unsigned s = 0; s < N_STATES; s++) {
		bool change = before[top] - CHANGE_COST > before[s];
		from[s] = (uint8_t)(change ? top : s);
		best[s] = before[from[s]] - (change ? CHANGE_COST : 0) + score[s];
	}
}

/* Fills state[0 .. n_chunks) with the likeliest sequence. */
static bool find_states(const uint8_t *target, const uint8_t *base, uint64_t n, uint64_t chunk,
	uint8_t *state, size_t n_chunks)
{
	uint8_t(*from)[N_STATES] = malloc(n_chunks * sizeof(*from));
	float best[N_STATES] = {0}, share[4], score[N_STATES];
	unsigned last = 0;
	if (!from)
		return false;
	for (size_t i = 0; i < n_chunks; i++) {
		uint64_t at = i * chunk;
		equal_shares(target + at, base + at, at, LODE_MIN(chunk, n - at), share);
		score_chunk(share, score);
		extend(best, score, from[i]);
	}
	for (unsigned s = 1; s < N_STATES; s++)
		if (best[s] > best[last])
			last = s;
	for (size_t i = n_chunks; i-- > 0;) {
		state[i] = (uint8_t)last;
		last = from[i][last];
	}
	free(from);
	return true;
}

/* Weights below one have top bytes around 0x3c as bfloat16 and lower ones as float16. */
static enum lode_delta_type type_of_16(const uint8_t *data, uint64_t n)
{
	uint64_t n_bf16 = 0, n_seen = 0;
	for (uint64_t i = 1; i < LODE_MIN(n, 65536u); i += 2, n_seen++) {
		unsigned top = data[i] & 0x7f;
		n_bf16 += top >= 0x39 && top <= 0x41;
	}
	return 2 * n_bf16 > n_seen ? LODE_DELTA_BF16 : LODE_DELTA_F16;
}

static bool make_run(
	const uint8_t *target, unsigned state, uint64_t start, uint64_t end, struct stride_run *r)
{
	unsigned w = state >= STATE_16 ? 2 : 4;
	unsigned phase = state >= STATE_16 ? state - STATE_16 : state - STATE_32;
	if (state == STATE_NONE)
		return false;
	uint64_t skip = (phase - start) & (w - 1);
	if (end - start < RUN_MIN)
		return false;
	r->offset = start + skip;
	r->len = (end - r->offset) / w * w;
	r->type = w == 4 ? LODE_DELTA_F32 : type_of_16(target + r->offset, r->len);
	return true;
}

size_t stride_find(const uint8_t *target, uint64_t n_target, const uint8_t *base, uint64_t n_base,
	struct stride_run **runs)
{
	uint64_t n = LODE_MIN(n_target, n_base), chunk = CHUNK_MIN;
	size_t n_runs = 0;
	*runs = NULL;
	if (n < 2 * RUN_MIN)
		return 0;
	while (n / chunk > CHUNKS_MAX)
		chunk *= 2;
	size_t n_chunks = (size_t)((n + chunk - 1) / chunk);
	uint8_t *state = malloc(n_chunks);
	struct stride_run *found = malloc(n_chunks * sizeof(*found));
	if (state && found && find_states(target, base, n, chunk, state, n_chunks)) {
		for (size_t i = 0, next; i < n_chunks; i = next) {
			for (next = i + 1; next < n_chunks && state[next] == state[i];)
				next++;
			n_runs += make_run(target, state[i], i * chunk, LODE_MIN(next * chunk, n),
				&found[n_runs]);
		}
	}
	free(state);
	if (n_runs)
		*runs = found;
	else
		free(found);
	return n_runs;
}
