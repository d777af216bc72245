/* SPDX-License-Identifier: BSD-3-Clause */
/* What a model has to beat. All but the gateway's classic are fitted on the fitting split. */
#include "lode_train.h"

#include <math.h>
#include <stdlib.h>

const char *lode_train_baseline_name(enum lode_train_baseline b)
{
	static const char *const names[] = {
		"last value", "Markov 4 x 50 ms", "EWMA, calibrated", "the gateway's classic"};
	return b < LODE_TRAIN_BASELINES ? names[b] : "?";
}

/* ---- tables: the share of lossy outcomes per state ---- */

static unsigned state_of(enum lode_train_baseline b, const struct lode_train_window *w)
{
	return b == LODE_TRAIN_LAST ? w->last > 0 : w->markov;
}

static void table(enum lode_train_baseline b, const struct lode_train_data *data,
	const uint32_t *fit, size_t n_fit, const uint32_t *test, size_t n_test, float *p)
{
	double n[LODE_TRAIN_MARKOV], lossy[LODE_TRAIN_MARKOV];
	for (unsigned i = 0; i < LODE_TRAIN_MARKOV; i++) {
		n[i] = 2;
		lossy[i] = 1;
	}
	for (size_t i = 0; i < n_fit; i++) {
		const struct lode_train_window *w = &data->windows[fit[i]];
		n[state_of(b, w)]++;
		lossy[state_of(b, w)] += w->any;
	}
	for (size_t i = 0; i < n_test; i++) {
		unsigned s = state_of(b, &data->windows[test[i]]);
		p[i] = (float)(lossy[s] / n[s]);
	}
}

/* ---- isotonic regression by pooling adjacent violators (Ayer et al. 1955) ---- */

struct block {
	double x_max, n, sum;
};
struct point {
	float x;
	bool y;
};

static int by_x(const void *a, const void *b)
{
	float x = ((const struct point *)a)->x, y = ((const struct point *)b)->x;
	return x < y ? -1 : x > y;
}

static size_t pool(const struct point *points, size_t n, struct block *blocks)
{
	size_t m = 0;
	for (size_t i = 0; i < n; i++) {
		if (m && blocks[m - 1].x_max == (double)points[i].x) {
			blocks[m - 1].n++;
			blocks[m - 1].sum += points[i].y;
		} else {
			blocks[m++] = (struct block){(double)points[i].x, 1, points[i].y};
		}
		/* The block of this x is whole when the next one begins. */
		if (i + 1 < n && points[i + 1].x == points[i].x)
			continue;
		while (m > 1 && blocks[m - 2].sum * blocks[m - 1].n >=
					blocks[m - 1].sum * blocks[m - 2].n) {
			blocks[m - 2].n += blocks[m - 1].n;
			blocks[m - 2].sum += blocks[m - 1].sum;
			blocks[m - 2].x_max = blocks[m - 1].x_max;
			m--;
		}
	}
	return m;
}

static float look_up(const struct block *blocks, size_t n, float x)
{
	size_t low = 0, high = n - 1;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (blocks[middle].x_max < (double)x)
			low = middle + 1;
		else
			high = middle;
	}
	return (float)(blocks[low].sum / blocks[low].n);
}

static int isotonic(const struct lode_train_data *data, const uint32_t *fit, size_t n_fit,
	const uint32_t *test, size_t n_test, float *p, struct lode_err *err)
{
	struct point *points = malloc((n_fit + 1) * sizeof(*points));
	struct block *blocks = malloc((n_fit + 1) * sizeof(*blocks));
	int rc = points && blocks && n_fit ? 0
					   : lode_err_set(err, -ENOMEM, "no memory to calibrate");
	for (size_t i = 0; !rc && i < n_fit; i++)
		points[i] = (struct point){data->windows[fit[i]].ewma, data->windows[fit[i]].any};
	if (!rc) {
		qsort(points, n_fit, sizeof(*points), by_x);
		size_t m = pool(points, n_fit, blocks);
		for (size_t i = 0; i < n_test; i++)
			p[i] = look_up(blocks, m, data->windows[test[i]].ewma);
	}
	free(points);
	free(blocks);
	return rc;
}

int lode_train_baseline(enum lode_train_baseline b, const struct lode_train_data *data,
	const uint32_t *fit, size_t n_fit, const uint32_t *test, size_t n_test, float *p,
	struct lode_err *err)
{
	if (b == LODE_TRAIN_EWMA)
		return isotonic(data, fit, n_fit, test, n_test, p, err);
	if (b != LODE_TRAIN_CLASSIC)
		table(b, data, fit, n_fit, test, n_test, p);
	else
		for (size_t i = 0; i < n_test; i++)
			p[i] = data->windows[test[i]].classic;
	return 0;
}
