/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_fetch.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define CONNECT_TIMEOUT_S 15
#define ATTEMPTS_USUAL	  5
#define FIRST_PAUSE_NS	  (100 * LODE_NS_PER_MS)
#define STEP_BYTES	  16384 /* of the writes libcurl makes: smooth at low rates */
#define BURST_NS	  (50 * LODE_NS_PER_MS)
#define NAP_MAX_NS	  (200 * LODE_NS_PER_MS)
#define WAIT_MAX_S	  10 /* what a source may ask us to wait */

struct lode_fetch {
	struct lode_fetch_options options;
	CURL *curl;
	struct lode_rng rng;
	uint64_t received_bytes;
	uint64_t paced_until_ns; /* what came is paid for until then */
};

/* One request for the rest of a blob. */
struct transfer {
	struct lode_fetch *f;
	struct lode_blob_writer *w;
	uint64_t max_bytes;
	uint64_t skip_bytes; /* the source begins again: so much is here already */
	uint64_t total_bytes;
	uint64_t source_received; /* a relay that is still fetching says so */
	unsigned retry_after_s;
	long status;
	int error;
};

int lode_fetch_new(
	const struct lode_fetch_options *o, struct lode_fetch **out, struct lode_err *err)
{
	struct lode_fetch *f = calloc(1, sizeof(*f));
	CURL *curl = curl_easy_init();
	if (!f || !curl) {
		free(f);
		curl_easy_cleanup(curl);
		return lode_err_set(err, -ENOMEM, "libcurl does not start");
	}
	f->options = *o;
	f->options.attempts = o->attempts ? o->attempts : ATTEMPTS_USUAL;
	f->curl = curl;
	lode_rng_seed(&f->rng, o->seed);
	*out = f;
	return 0;
}

void lode_fetch_free(struct lode_fetch *f)
{
	if (!f)
		return;
	curl_easy_cleanup(f->curl);
	free(f);
}

uint64_t lode_fetch_received(const struct lode_fetch *f)
{
	return f->received_bytes;
}

/* Waits until the bytes that came are paid for: the sender feels it by TCP's window. Naps are short, as the
 * rate may change meanwhile and libcurl looks for a stall. */
static int pay(struct transfer *t, size_t len)
{
	struct lode_fetch *f = t->f;
	const struct lode_fetch_options *o = &f->options;
	if (!o->rate)
		return 0;
	uint64_t rate = o->rate(o->ctx), now_ns = o->now_ns(o->ctx);
	if (!rate)
		return -EBUSY;
	if (rate == LODE_PACE_OPEN)
		return 0;
	/* Time not used is lost but for a short burst. */
	uint64_t from_ns = now_ns > BURST_NS ? now_ns - BURST_NS : 0;
	f->paced_until_ns = LODE_MAX(f->paced_until_ns, from_ns) + len * LODE_NS_PER_S / rate;
	while (now_ns < f->paced_until_ns) {
		o->sleep_ns(o->ctx, LODE_MIN(f->paced_until_ns - now_ns, NAP_MAX_NS));
		now_ns = o->now_ns(o->ctx);
		if (o->progress && o->progress(o->ctx, lode_blob_written(t->w), t->total_bytes))
			return -ECANCELED;
	}
	return 0;
}

static size_t on_data(char *bytes, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	struct lode_err err;
	size_t len = size * n, all = len;
	curl_easy_getinfo(t->f->curl, CURLINFO_RESPONSE_CODE, &t->status);
	t->f->received_bytes += len;
	if (t->status != 200 && t->status != 206)
		return all; /* an error's text */
	if (t->status == 206)
		t->skip_bytes = 0;
	size_t skip = LODE_MIN(t->skip_bytes, (uint64_t)len);
	t->skip_bytes -= skip;
	bytes += skip;
	len -= skip;
	if (lode_blob_written(t->w) + len > t->max_bytes)
		t->error = -EFBIG;
	else if (len)
		t->error = lode_blob_write(t->w, bytes, len, &err);
	if (!t->error)
		t->error = pay(t, all);
	return t->error ? 0 : all;
}

static bool header_number(
	const char *line, size_t len, const char *name, uint64_t max, uint64_t *value)
{
	size_t n = strlen(name);
	char digits[24] = "";
	if (len <= n || len - n >= sizeof(digits) || strncasecmp(line, name, n) != 0)
		return false;
	memcpy(digits, line + n, len - n);
	*value = LODE_MIN(strtoull(digits, NULL, 10), max);
	return true;
}

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	uint64_t v;
	if (header_number(line, size * n, "retry-after:", WAIT_MAX_S, &v))
		t->retry_after_s = (unsigned)v;
	if (header_number(line, size * n, "x-lodestone-received:", UINT64_MAX, &v))
		t->source_received = v;
	return size * n;
}

static int on_progress(
	void *ctx, curl_off_t total, curl_off_t done, curl_off_t up, curl_off_t up_done)
{
	struct transfer *t = ctx;
	const struct lode_fetch_options *o = &t->f->options;
	(void)done, (void)up, (void)up_done;
	if (total > 0 && !t->total_bytes)
		t->total_bytes = lode_blob_written(t->w) + (uint64_t)total;
	return o->progress && o->progress(o->ctx, lode_blob_written(t->w), t->total_bytes);
}

static struct curl_slist *set_request(struct lode_fetch *f, const struct lode_fetch_source *source,
	const char *sha256, struct transfer *t)
{
	CURL *c = f->curl;
	char url[1024], line[600];
	struct curl_slist *headers = NULL;
	snprintf(url, sizeof(url), "%s/%s", source->url, sha256);
	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)STEP_BYTES);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)f->options.stall_s);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	if (source->ca)
		curl_easy_setopt(c, CURLOPT_CAINFO, source->ca);
	if (source->cert)
		curl_easy_setopt(c, CURLOPT_SSLCERT, source->cert);
	if (source->key)
		curl_easy_setopt(c, CURLOPT_SSLKEY, source->key);
	if (source->device) {
		snprintf(line, sizeof(line), "X-Lodestone-Device: %s", source->device);
		headers = curl_slist_append(headers, line);
	}
	if (source->token) {
		snprintf(line, sizeof(line), "Authorization: Bearer %s", source->token);
		headers = curl_slist_append(headers, line);
	}
	if (t->skip_bytes) {
		snprintf(line, sizeof(line), "%llu-", (unsigned long long)t->skip_bytes);
		curl_easy_setopt(c, CURLOPT_RANGE, line);
	}
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	return headers;
}

static int once(struct lode_fetch *f, const struct lode_fetch_source *source, const char *sha256,
	struct transfer *t, struct lode_err *err)
{
	struct curl_slist *headers = set_request(f, source, sha256, t);
	CURLcode code = curl_easy_perform(f->curl);
	curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &t->status);
	curl_slist_free_all(headers);
	if (t->error == -EFBIG)
		return lode_err_set(err, -EFBIG, "%s sends more than the %llu bytes there are",
			source->url, (unsigned long long)t->max_bytes);
	if (t->error == -EBUSY)
		return lode_err_set(err, -EBUSY, "no transfers at this time of day");
	if (t->error && t->error != -ECANCELED)
		return lode_err_set(
			err, t->error, "what came could not be kept: %s", strerror(-t->error));
	if (t->error || code == CURLE_ABORTED_BY_CALLBACK)
		return lode_err_set(err, -ECANCELED, "stopped");
	if (code != CURLE_OK)
		return lode_err_set(err, code == CURLE_COULDNT_CONNECT ? -ENOTCONN : -EAGAIN,
			"%s: %s", source->url, curl_easy_strerror(code));
	/* 416: everything was here already. */
	if (t->status < 400 || (t->status == 416 && lode_blob_written(t->w)))
		return 0;
	int rc = t->status == 404 ? -ENOENT : t->status >= 500 ? -EAGAIN : -EPROTO;
	return lode_err_set(err, rc, "%s answers %ld", source->url, t->status);
}

static void pause_before(struct lode_fetch *f, unsigned attempt)
{
	uint64_t ns = FIRST_PAUSE_NS << LODE_MIN(attempt, 6u);
	f->options.sleep_ns(f->options.ctx, ns + lode_rng_below(&f->rng, ns));
}

int lode_fetch_blob(struct lode_fetch *f, const struct lode_fetch_source *source,
	const char *sha256, uint64_t max_bytes, struct lode_blob_writer *w, struct lode_err *err)
{
	const struct lode_fetch_options *o = &f->options;
	uint64_t best_received = 0, moved_ns = o->now_ns(o->ctx);
	unsigned attempts = source->attempts ? source->attempts : o->attempts;
	unsigned idle = 0; /* attempts in a row that got no further */
	for (;;) {
		uint64_t had = lode_blob_written(w);
		struct transfer t = {.f = f, .w = w, .max_bytes = max_bytes, .skip_bytes = had};
		int rc = o->rate && !o->rate(o->ctx)
				 ? lode_err_set(err, -EBUSY, "no transfers at this time of day")
				 : once(f, source, sha256, &t, err);
		if (rc != -EAGAIN && rc != -ENOTCONN)
			return rc;
		bool further = lode_blob_written(w) > had || t.source_received > best_received;
		uint64_t now_ns = o->now_ns(o->ctx);
		best_received = LODE_MAX(best_received, t.source_received);
		moved_ns = further ? now_ns : moved_ns;
		idle = further ? 0 : idle + 1;
		if (o->log && t.status != 503)
			o->log(o->ctx, err->msg);
		if (t.status == 503 && t.retry_after_s) {
			if (now_ns - moved_ns > o->stall_s * LODE_NS_PER_S)
				return rc;
			o->sleep_ns(o->ctx, t.retry_after_s * LODE_NS_PER_S);
		} else if (idle >= attempts) {
			return rc;
		} else {
			pause_before(f, idle);
		}
		if (o->progress && o->progress(o->ctx, lode_blob_written(w), 0))
			return lode_err_set(err, -ECANCELED, "stopped");
	}
}
