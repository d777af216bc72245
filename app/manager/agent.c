/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-manager agent: keeps this appliance's model at what its manager says. */
#include "check_model.h"
#include "flat.h"
#include "identity.h"
#include "lode_agent.h"
#include "lode_config.h"
#include "manager.h"
#include "seal_keys.h"
#include "site.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define POLL_S_DEFAULT	  30
#define POLL_S_MAX	  3600
#define HEALTH_TIMEOUT_S  60
#define STALL_S		  60
#define RELAY_CACHE_BYTES 10000000000ull

static void print_line(void *ctx, const char *line)
{
	(void)ctx;
	printf("%s\n", line);
	fflush(stdout);
}

static int show_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
	(void)ctx;
	if (isatty(STDERR_FILENO) && total_bytes)
		fprintf(stderr, "fetched %.1f of %.1f MB\r", (double)done_bytes / 1e6,
			(double)total_bytes / 1e6);
	return stopping;
}

int agent_usage(FILE *to)
{
	fputs("usage: lodestone-manager agent --control-plane URL --device-id ID [OPTIONS]\n"
	      "  --config FILE         YAML with the names of these options, _ for -\n"
	      "  --poll-interval S     seconds between questions, 1 to 3600; default 30\n"
	      "  --model-dir DIR       default ./models; the active model is "
	      "DIR/ota/models/MODEL.bin\n"
	      "  --health-check CMD    shell command that says with exit 0 that "
	      "LODESTONE_MODEL_PATH is good\n"
	      "  --root FILE           whose keys may sign models; needed but for a manager on "
	      "trial "
	      "at 127.0.0.1\n"
	      "  --gateway SOCKET      control socket of the gateway that is to run the models\n"
	      "  --import BUNDLE       install what a signed bundle holds, then end; no manager is "
	      "asked\n"
	      "  --token-file FILE     who this appliance is\n"
	      "  --identity DIR        what `lodestone-manager enroll` made; renewed in time\n"
	      "  --ca FILE, --cert FILE, --key FILE  for https with mutual TLS\n"
	      "  --max-rate N          bytes per second, at most\n"
	      "  --bandwidth WINDOWS   the same by time of day: '08:00-18:00=200k "
	      "22:00-06:00=20M'\n"
	      "  --ignore-load         transfers need not leave room for the traffic of --gateway\n"
	      "  --relay URL           http://address:port of an appliance of this site that "
	      "fetches for all\n"
	      "  --relay-listen A:PORT be that appliance; --relay-cache N bytes, default "
	      "10000000000\n"
	      "  --once                one round, then end: 0 idle or updated, 1 otherwise\n",
		to);
	return to == stdout ? EXIT_OK : EXIT_CONFIGURATION;
}

struct agent_options {
	struct lode_agent_options o;
	struct site site;
	struct seal_keys seal_keys;
	bool once, ignore_load;
	const char *bundle; /* NULL: none */
	char token[256];
	const char *identity; /* folder; NULL: none */
	char ca[512], pair[512];
};

static int read_token(struct agent_options *y, const char *path)
{
	FILE *f = fopen(path, "re");
	if (!f || !fgets(y->token, sizeof(y->token), f)) {
		fprintf(stderr, "lodestone-manager: %s: %s\n", path, strerror(errno));
		if (f)
			fclose(f);
		return -EINVAL;
	}
	fclose(f);
	y->token[strcspn(y->token, "\r\n")] = 0;
	y->o.token = y->token;
	return 0;
}

/* Plain digits within the limits, else 0. */
static uint64_t number(const char *s, uint64_t max)
{
	uint64_t v = s[strspn(s, "0123456789")] ? 0 : strtoull(s, NULL, 10);
	return v <= max ? v : 0;
}

static int read_option(struct agent_options *y, int opt)
{
	switch (opt) {
	case 'u':
		y->o.control_plane = optarg;
		return 0;
	case 'i':
		y->o.device_id = optarg;
		return 0;
	case 'p':
		y->o.poll_interval_s = (unsigned)number(optarg, POLL_S_MAX);
		return y->o.poll_interval_s ? 0 : -EINVAL;
	case 'm':
		y->o.model_dir = optarg;
		return 0;
	case 'h':
		y->o.health_check = optarg;
		return 0;
	case 't':
		return read_token(y, optarg);
	case 'a':
		y->o.ca = optarg;
		return 0;
	case 'c':
		y->o.cert = optarg;
		return 0;
	case 'k':
		y->o.key = optarg;
		return 0;
	case 'R':
		y->o.relay = optarg;
		return 0;
	case 'r':
		return site_take(&y->site, "max-rate", optarg);
	case 'w':
		return site_take(&y->site, "bandwidth", optarg);
	case 'L':
		return site_take(&y->site, "relay-listen", optarg);
	case 'C':
		return site_take(&y->site, "relay-cache", optarg);
	case 'd':
		y->identity = optarg;
		identity_path(optarg, "ca.pem", y->ca);
		identity_path(optarg, IDENTITY_FILE, y->pair);
		y->o.ca = y->ca;
		y->o.cert = y->o.key = y->pair;
		return 0;
	case 'o':
		y->o.root = optarg;
		return 0;
	case 'g':
		y->o.gateway = optarg;
		return 0;
	case 'b':
		y->bundle = optarg;
		return 0;
	case '1':
		y->once = true;
		return 0;
	case 'l':
		y->ignore_load = true;
		return 0;
	default:
		return -EINVAL;
	}
}

static const struct option longs[] = {{"config", required_argument, NULL, 'f'},
	{"control-plane", required_argument, NULL, 'u'},
	{"device-id", required_argument, NULL, 'i'},
	{"poll-interval", required_argument, NULL, 'p'},
	{"model-dir", required_argument, NULL, 'm'}, {"health-check", required_argument, NULL, 'h'},
	{"token-file", required_argument, NULL, 't'}, {"ca", required_argument, NULL, 'a'},
	{"cert", required_argument, NULL, 'c'}, {"key", required_argument, NULL, 'k'},
	{"max-rate", required_argument, NULL, 'r'}, {"root", required_argument, NULL, 'o'},
	{"gateway", required_argument, NULL, 'g'}, {"import", required_argument, NULL, 'b'},
	{"identity", required_argument, NULL, 'd'}, {"bandwidth", required_argument, NULL, 'w'},
	{"relay", required_argument, NULL, 'R'}, {"relay-listen", required_argument, NULL, 'L'},
	{"relay-cache", required_argument, NULL, 'C'}, {"ignore-load", no_argument, NULL, 'l'},
	{"once", no_argument, NULL, '1'}, {0}};

/* The same names in a file, with _ for -. What it names it names for good. */
static const char *take_pair(void *ctx, const char *key, const char *value)
{
	char name[64];
	snprintf(name, sizeof(name), "%s", key);
	for (char *at = name; (at = strchr(at, '_'));)
		*at = '-';
	for (const struct option *o = longs; o->name; o++) {
		if (strcmp(o->name, name) != 0 || o->val == 'f')
			continue;
		if (o->has_arg == no_argument && strcmp(value, "true") != 0)
			return strcmp(value, "false") ? "true or false" : NULL;
		optarg = strdup(value);
		return !optarg || read_option(ctx, o->val)
			       ? "not what the option of this name takes"
			       : NULL;
	}
	return "no such key";
}

static int read_file(struct agent_options *y, const char *path)
{
	struct lode_err err;
	int rc = flat_load(path, take_pair, y, &err);
	if (rc)
		fprintf(stderr, "lodestone-manager: %s\n", err.msg);
	return rc;
}

static int read_options(struct agent_options *y, int argc, char **argv)
{
	int opt, rc = 0;
	while (!rc && (opt = getopt_long(argc, argv, "", longs, NULL)) >= 0)
		rc = opt == 'f' ? read_file(y, optarg) : read_option(y, opt);
	bool whole = (y->o.control_plane || y->bundle) && y->o.device_id && optind == argc;
	return rc ? rc : whole ? 0 : -EINVAL;
}

static void sleep_unless_stopping(unsigned seconds)
{
	for (unsigned i = 0; i < seconds && !stopping; i++)
		sleep(1); /* a signal ends it early */
}

/* A certificate that cannot be renewed now is tried again with the next round. */
static void stay_known(const struct agent_options *y)
{
	struct lode_err err = {0};
	bool renewed;
	if (!y->identity)
		return;
	if (identity_renew(y->o.control_plane, y->identity, now_ms(), &renewed, &err))
		printf("the certificate is not renewed: %s\n", err.msg);
	else if (renewed)
		puts("the certificate is renewed");
	fflush(stdout);
}

static int64_t now_s(void)
{
	return now_ms() / 1000;
}

static int import(struct lode_agent *agent, const char *bundle)
{
	struct lode_err err;
	if (lode_agent_import(agent, bundle, &err) == LODE_AGENT_UPDATED)
		return EXIT_OK;
	fprintf(stderr, "lodestone-manager: %s: %s\n", bundle, err.msg);
	return EXIT_OTHER;
}

static int run(struct lode_agent *agent, const struct agent_options *y)
{
	bool once = y->once;
	struct lode_err err;
	enum lode_agent_outcome outcome;
	do {
		stay_known(y);
		outcome = lode_agent_round(agent, &err);
		if (!once && !stopping)
			sleep_unless_stopping(lode_agent_wait_s(agent));
	} while (!once && !stopping);
	return !once || outcome == LODE_AGENT_IDLE || outcome == LODE_AGENT_UPDATED ? EXIT_OK
										    : EXIT_OTHER;
}

/* Sealed models are for this key; it stays on the appliance. */
static int take_seal_key(struct agent_options *y, struct lode_err *err)
{
	char path[PATH_MAX], text[64];
	uint8_t public_key[LODE_SEAL_KEY_BYTES];
	snprintf(path, sizeof(path), "%s/seal.key", y->o.model_dir);
	if (mkdir(y->o.model_dir, 0700) && errno != EEXIST)
		return lode_err_set(err, -errno, "%s: %s", y->o.model_dir, strerror(errno));
	int rc = seal_key_own(&y->seal_keys, path, err);
	if (rc)
		return rc;
	y->o.seal_key = y->seal_keys.key[0];
	if (!lode_seal_public(y->o.seal_key, public_key)) {
		lode_config_key_to_base64(public_key, text);
		printf("models can be sealed for %s\n", text);
	}
	return 0;
}

static void tell_relay(struct lode_relay *relay)
{
	struct lode_relay_stats s;
	if (!relay)
		return;
	lode_relay_stats(relay, &s);
	printf("relay: %llu requests, %llu bytes given out, %llu fetched in %llu transfers, %llu "
	       "of "
	       "them failed\n",
		(unsigned long long)s.n_requests, (unsigned long long)s.served_bytes,
		(unsigned long long)s.fetched_bytes, (unsigned long long)s.n_fetches,
		(unsigned long long)s.n_failed);
}

int cmd_agent(int argc, char **argv)
{
	struct agent_options y = {
		.o =
			{
				.model_dir = "./models",
				.poll_interval_s = POLL_S_DEFAULT,
				.health_timeout_s = HEALTH_TIMEOUT_S,
				.stall_s = STALL_S,
				.seed = (uint64_t)now_ms() ^ (uint64_t)getpid() << 32,
				.now_s = now_s,
				.check_model = check_model,
				.log = print_line,
				.progress = show_progress,
				.now_ns = site_now_ns,
				.sleep_ns = site_sleep_ns,
				.rate = site_rate,
			},
		.site = {.relay_cache_bytes = RELAY_CACHE_BYTES}};
	struct lode_agent *agent;
	struct lode_relay *relay = NULL;
	struct lode_err err = {0};
	if (read_options(&y, argc, argv))
		return agent_usage(stderr);
	/* The packaged unit says so: what is on trial must not become what runs. */
	if (!y.o.root && getenv("INVOCATION_ID")) {
		fputs("lodestone-manager: a service needs --root FILE\n", stderr);
		return EXIT_CONFIGURATION;
	}
	y.o.ctx = &y.site;
	y.site.gateway = y.ignore_load ? NULL : y.o.gateway;
	atomic_init(&y.site.spare_bytes_per_s, LODE_PACE_OPEN);
	if (*y.site.own_relay && !y.o.relay)
		y.o.relay = y.site.own_relay; /* what it runs itself comes the same way */
	int rc = take_seal_key(&y, &err);
	if (!rc)
		rc = lode_agent_new(&y.o, &agent, &err);
	if (!rc && (rc = site_start_relay(&y.site, &y.o, &relay, &err)))
		lode_agent_free(agent);
	if (rc) {
		fprintf(stderr, "lodestone-manager: %s\n", err.msg);
		return err.code == -EINVAL ? EXIT_CONFIGURATION : EXIT_ENVIRONMENT;
	}
	sd_notify(0, "READY=1");
	int code = y.bundle ? import(agent, y.bundle) : run(agent, &y);
	tell_relay(relay);
	lode_relay_free(relay);
	lode_agent_free(agent);
	return code;
}
